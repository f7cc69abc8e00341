"""What training photos teach: annotations on the canvas, and which queries they supervise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from sav.d2 import Instances
from sav.modeling.views import ViewQueries

Batch = list[dict[str, Any]]

IGNORED = -1  # a label


@dataclass
class Targets:
    """Ground truth of one image.

    Attributes:
        classes: (M,) int64 of the photo's view.
        masks: (M, S, S) float, 0 or 1.
        label_map: (S, S) int64, class + 1, 0 for background, -1 for what is ignored; smaller parts
            lie on larger ones.
        vehicles: M numbers, the vehicle of each instance.
    """

    classes: torch.Tensor
    masks: torch.Tensor
    label_map: torch.Tensor
    vehicles: list[int]

    @classmethod
    def from_instances(
        cls, instances: Instances, supervised: torch.Tensor, device: torch.device
    ) -> Targets:
        """Read gt_classes, gt_masks and gt_vehicle_ids.

        Args:
            instances: of one image, on the CPU.
            supervised: (K,) bool by class, on the CPU. Instances of other classes are left out, and
                their pixels are ignored.
            device: to use. What is looked up before comes from the CPU, so nothing waits for it.
        """
        kept = supervised[instances.gt_classes]
        classes = instances.gt_classes[kept].to(device, non_blocking=True)
        labels = torch.where(kept, instances.gt_classes + 1, IGNORED).to(device, non_blocking=True)
        rows = kept.nonzero()[:, 0].to(device, non_blocking=True)
        masks = instances.gt_masks.tensor.to(device, non_blocking=True)
        vehicles = instances.gt_vehicle_ids[kept].tolist()
        return cls(classes, masks[rows].float(), _draw(masks, labels), vehicles)

    def parts(self, num_classes: int, vehicle: int) -> torch.Tensor:
        """(num_classes, S, S) float, 1 where an instance of the class and of the vehicle is."""
        rows = [row for row, number in enumerate(self.vehicles) if number == vehicle]
        masks = self.masks[rows]
        parts = masks.new_zeros(num_classes, *self.label_map.shape)
        index = self.classes[rows][:, None, None].expand_as(masks)
        return parts.scatter_reduce_(0, index, masks, "amax")


def _draw(masks: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(S, S) int64 map of the labels (M,) of masks (M, S, S) bool, the smaller over the larger."""
    if not len(masks):
        return labels.new_zeros(masks.shape[1:])
    order = masks.flatten(1).sum(1).argsort(descending=True)
    heights = torch.arange(1, len(order) + 1, device=order.device)
    height = torch.empty_like(order).scatter_(0, order, heights)
    top = (masks * height.to(torch.int16)[:, None, None]).amax(0).long()
    return F.pad(labels[order], (1, 0))[top]


def read_targets(
    batched_inputs: Batch, views: list[ViewQueries], supervised: torch.Tensor
) -> list[Targets]:
    """The annotations of B photos, see :meth:`Targets.from_instances`.

    Args:
        batched_inputs: with "instances".
        views: of the photos.
        supervised: (B, C) bool, parts, on the device to use. A class is supervised if all of its
            parts are.
    """
    rows = zip(views, supervised.cpu().tolist(), strict=True)
    known = [view.classes_of(parts) for view, parts in rows]
    pairs = zip(batched_inputs, known, strict=True)
    device = supervised.device
    return [Targets.from_instances(item["instances"], kept, device) for item, kept in pairs]


@dataclass
class Supervision:
    """What a model learns from B photos.

    Attributes:
        targets: one a photo.
        generators: one a photo, on the model's device; everything random about it is drawn there.
        views: one a photo, in whose classes the targets are.
        supervised: (B, N) bool, part queries that the photo's annotations tell to be absent where
            they do not show them. The others learn nothing from that.
    """

    targets: list[Targets]
    generators: list[torch.Generator]
    views: list[ViewQueries]
    supervised: torch.Tensor

    @classmethod
    def of(
        cls,
        batched_inputs: Batch,
        views: list[ViewQueries],
        supervised: torch.Tensor,
        query_classes: torch.Tensor,
    ) -> Supervision:
        """From what a model is given, see :meth:`sav.modeling.meta_arch.SAV.forward`.

        Args:
            batched_inputs: with "instances" and "seed".
            views: of the photos.
            supervised: (B, C) bool, the parts that training may learn.
            query_classes: (N,) part of each part query.
        """
        device = supervised.device
        seeds = [item["seed"] for item in batched_inputs]
        generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        targets = read_targets(batched_inputs, views, supervised)
        told = torch.stack([view.covered for view in views])
        return cls(targets, generators, views, (supervised & told)[:, query_classes])

    def select(self, rows: list[int]) -> Supervision:
        """That of some photos."""
        every = self.targets, self.generators, self.views
        targets, generators, views = ([x[row] for row in rows] for x in every)
        return Supervision(targets, generators, views, self.supervised[rows])

    def by_view(self) -> Iterator[tuple[ViewQueries, list[int]]]:
        """Each view with the rows of its photos."""
        rows: dict[ViewQueries, list[int]] = {}
        for row, view in enumerate(self.views):
            rows.setdefault(view, []).append(row)
        yield from rows.items()
