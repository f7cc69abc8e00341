"""What training photos teach: annotations on the canvas, and which queries they supervise."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sav.d2 import Instances

IGNORED = -1  # a label


@dataclass
class Targets:
    """Ground truth of one image.

    Attributes:
        classes: (M,) int64.
        masks: (M, S, S) float, 0 or 1.
        label_map: (S, S) int64, class + 1, 0 for background, -1 for what is ignored; smaller parts
            lie on larger ones.
    """

    classes: torch.Tensor
    masks: torch.Tensor
    label_map: torch.Tensor

    @classmethod
    def from_instances(cls, instances: Instances, supervised: torch.Tensor) -> Targets:
        """Read gt_classes and gt_masks.

        Args:
            instances: of one image.
            supervised: (C,) bool, on the device to use. Instances of other classes are left out,
                and their pixels are ignored.
        """
        classes = instances.gt_classes.to(supervised.device)
        masks = instances.gt_masks.tensor.to(supervised.device)
        label_map = torch.zeros(masks.shape[-2:], dtype=torch.int64, device=supervised.device)
        kept = supervised[classes]
        labels = torch.where(kept, classes + 1, IGNORED)
        for index in masks.flatten(1).sum(1).argsort(descending=True).tolist():
            label_map[masks[index]] = labels[index]
        return cls(classes[kept], masks[kept].float(), label_map)

    def parts(self, num_classes: int) -> torch.Tensor:
        """(num_classes, S, S) float, 1 where an instance of the class is."""
        parts = self.masks.new_zeros(num_classes, *self.label_map.shape)
        index = self.classes[:, None, None].expand_as(self.masks)
        return parts.scatter_reduce_(0, index, self.masks, "amax")


@dataclass
class Supervision:
    """What a model learns from B photos.

    Attributes:
        targets: one a photo.
        generators: one a photo, on the model's device; everything random about it is drawn there.
        supervised: (B, N) bool, queries whose class the photo's annotations can speak of. The
            others learn nothing from it.
    """

    targets: list[Targets]
    generators: list[torch.Generator]
    supervised: torch.Tensor

    def select(self, rows: list[int]) -> Supervision:
        """That of some photos."""
        targets, generators = ([x[row] for row in rows] for x in (self.targets, self.generators))
        return Supervision(targets, generators, self.supervised[rows])
