"""Flip averaging at test time: the model sees each photo in the mirror too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from sav.d2 import CfgNode
from sav.modeling.original_frame import Frame
from sav.modeling.sam.decoder import DecoderOutput
from sav.modeling.targets import Batch
from sav.ontology import Ontology
from sav.precision import float32


class Flips(nn.Module):
    """Puts mirror images beside the photos of a batch, and averages what the model says of both.

    What is left in a photo is right in its mirror image. So each query is averaged with one of the
    mirrored class there. Where a class has several slots, that is the one that shows the same
    instance. Nothing happens in training.

    Args:
        enabled: whether anything happens in prediction.
        query_classes: (N,) class of each query.
        mirror_ids: the class that each class is in the mirror.
    """

    same: torch.Tensor

    def __init__(
        self, *, enabled: bool, query_classes: torch.Tensor, mirror_ids: Sequence[int]
    ) -> None:
        super().__init__()
        self.enabled = enabled
        in_mirror = torch.tensor(mirror_ids)[query_classes]
        self.register_buffer("same", in_mirror[:, None] == query_classes, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode, ontology: Ontology, query_classes: torch.Tensor) -> Flips:
        """As TEST.AUG says."""
        return cls(
            enabled=cfg.TEST.AUG.ENABLED and cfg.TEST.AUG.FLIP,
            query_classes=query_classes,
            mirror_ids=ontology.mirror_ids,
        )

    def with_mirror_images(self, inputs: Batch) -> Batch:
        """B photos and, where flips are averaged, their B mirror images behind them."""
        if self.training or not self.enabled:
            return inputs
        return [*inputs, *({**item, "image": item["image"].flip(-1)} for item in inputs)]

    @float32()
    def mean(self, output: DecoderOutput, frames: Sequence[Frame]) -> DecoderOutput:
        """The mean of what the model says of B photos and of their mirror images.

        Args:
            output: for :meth:`with_mirror_images`, of N queries.
            frames: of the B photos.

        Returns:
            That of B photos, with the mean logits. Features and class logits are the photos' own.
        """
        if not self.enabled:
            return output
        output = output.float()
        photos = output.select(slice(len(frames)))
        mirrored = output.select(slice(len(frames), None))
        mirrored = replace(mirrored, masks=mirror_back(mirrored.masks, frames))
        query = self._partners(photos, mirrored)
        row = torch.arange(len(frames), device=query.device)[:, None]
        pairs = ((getattr(photos, x), getattr(mirrored, x)) for x in ("masks", "presence", "iou"))
        masks, presence, iou = ((mine + other[row, query]) / 2 for mine, other in pairs)
        return replace(photos, masks=masks, presence=presence, iou=iou)

    @torch.no_grad()
    def _partners(self, photos: DecoderOutput, mirrored: DecoderOutput) -> torch.Tensor:
        """(B, N) int64: the query of the mirror image, turned back, that goes with each query.

        The pairs of all queries differ least, in the squares of what they show at each place.
        """
        shown, other = (
            (out.presence[..., None, None].sigmoid() * out.masks.sigmoid()).flatten(2)
            for out in (photos, mirrored)
        )
        alike = (shown @ other.mT).masked_fill(~self.same, -torch.inf).cpu().numpy()
        partners = [linear_sum_assignment(pairs, maximize=True)[1] for pairs in alike]
        return torch.from_numpy(np.stack(partners)).to(shown.device)


def mirror_back(maps: torch.Tensor, frames: Sequence[Frame]) -> torch.Tensor:
    """Turn maps (B, N, h, w) of the mirror images of B photos into maps of the photos.

    A photo lies at the left of the canvas, and so does its mirror image. Where a photo's width is
    no whole number of cells, mirrored cells lie between two, and are interpolated. Cells whose
    centre is not in the photo stay as they are: beside both images is the same padding.
    """
    cell = torch.arange(maps.shape[-1], dtype=torch.float64)
    seen = cell.new_tensor([len(cell) * f.resized[1] / f.canvas for f in frames])[:, None]
    place = torch.where(cell + 0.5 <= seen, (seen - 1 - cell).clamp(min=0), cell)
    first = place.long()
    second = place.ceil().long()
    share = (place - first).to(maps)[:, None, None]
    first, second = (
        maps.gather(3, index.to(maps.device)[:, None, None].expand_as(maps))
        for index in (first, second)
    )
    return torch.lerp(first, second, share)
