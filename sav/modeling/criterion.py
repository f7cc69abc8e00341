"""Training losses: every query is supervised, matched ones by the mask of their instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from sav.d2 import CfgNode
from sav.modeling.matcher import Matches, grid_side, match, shrink
from sav.modeling.sam.decoder import DecoderOutput
from sav.modeling.targets import IGNORED, Supervision
from sav.modeling.views import ViewQueries
from sav.precision import float32

_LOSSES = ("MASK", "DICE", "PRESENCE", "IOU", "DENSE")
_OVERSAMPLING = 3
_UNCERTAIN_SHARE = 0.75
_LEAST = 1e-30  # probability


class PartCriterion(nn.Module):
    """Mask, dice, presence, IoU and dense losses.

    Every photo counts the same, however many parts it shows. So the losses of a batch are the mean
    over its photos, and how a batch is shared out over processes or steps does not change them.

    A photo is supervised in its view: an annotated class teaches the union of its parts, and what
    the view does not show although it could is absent.

    Args:
        weights: "mask", "dice", "presence", "iou", "dense".
        points: sampled for each matched mask, three quarters of them where the mask is least
            certain (PointRend, arXiv 1912.08193).
    """

    def __init__(self, *, weights: dict[str, float], points: int) -> None:
        super().__init__()
        self.weights = weights
        self.points = points

    @classmethod
    def from_config(cls, cfg: CfgNode) -> PartCriterion:
        """As MODEL.SAV.LOSS says."""
        loss = cfg.MODEL.SAV.LOSS
        weights = {name.lower(): loss[name] for name in _LOSSES}
        return cls(weights=weights, points=loss.POINTS)

    @float32()
    def forward(self, output: DecoderOutput, supervision: Supervision) -> dict[str, torch.Tensor]:
        """Compute all losses.

        Args:
            output: the decoder's, with class logits.
            supervision: of the same images.

        Returns:
            Weighted scalar losses by name.
        """
        losses = self.supervise(output, supervision)
        losses["loss_dense"] = self.weights["dense"] * _dense_loss(output.class_logits, supervision)
        return losses

    @float32()
    def supervise(self, output: DecoderOutput, supervision: Supervision) -> dict[str, torch.Tensor]:
        """The losses of masks, presence and IoU; see :meth:`forward`."""
        output = output.float()
        total: dict[str, torch.Tensor] = {}
        for view, rows in supervision.by_view():
            everyone = len(rows) == len(supervision.views)
            some = output if everyone else output.select(torch.tensor(rows))
            losses = self._supervise(some, view, supervision.select(rows))
            for name, loss in losses.items():
                share = len(rows) / len(supervision.views)
                total[name] = total.get(name, 0.0) + share * loss
        return {f"loss_{name}": self.weights[name] * loss for name, loss in total.items()}

    def _supervise(
        self, output: DecoderOutput, view: ViewQueries, supervision: Supervision
    ) -> dict[str, torch.Tensor]:
        """Losses by name, without weights, where all photos have one view."""
        # Masks of all unions are needed for matching alone, which looks at a coarse grid.
        coarse = shrink(output.masks.detach(), grid_side(output.masks.shape[-1]))
        united = view(replace(output, masks=coarse))
        matches = match(united, supervision.targets, view.classes)
        present = torch.zeros_like(united.presence)
        present[matches.places(present.device)] = 1.0
        absent = supervision.supervised.float() * (1 - view.parts_of(present))
        losses = {"presence": _presence_loss(united.presence, present, output.presence, absent)}
        logits = view.masks_of(output, matches.image, matches.query)
        expected = united.iou[matches.places(united.iou.device)].sigmoid()
        return losses | self.mask_losses(logits, expected, supervision, matches)

    def mask_losses(
        self,
        logits: torch.Tensor,
        expected: torch.Tensor,
        supervision: Supervision,
        matches: Matches,
    ) -> dict[str, torch.Tensor]:
        """Losses of masks by name, without weights.

        Args:
            logits: (P, h, w) of the P matches' masks.
            expected: (P,) their expected IoU.
            supervision: of the same images.
            matches: in the order of the images.
        """
        if len(matches.query) == 0:
            # Keeps every parameter in the graph, which distributed training needs.
            zero = (logits.sum() + expected.sum()) * 0.0
            return {"mask": zero, "dice": zero, "iou": zero}
        targets = supervision.targets
        pairs = zip(matches.image.tolist(), matches.instance.tolist(), strict=True)
        masks = torch.stack([targets[image].masks[instance] for image, instance in pairs])
        counts = matches.image.bincount(minlength=len(targets))
        share = 1.0 / (counts[matches.image] * len(targets))
        share = share.to(logits.device, non_blocking=True)
        draws = list(zip(counts.tolist(), supervision.generators, strict=True))
        points = _sample_points(logits.detach(), self.points, draws)
        sampled = _read(logits, points)
        truth = _read(masks, points)
        probability = sampled.sigmoid()
        intersection = (probability * truth).sum(1)
        dice = 1 - (2 * intersection + 1) / (probability.sum(1) + truth.sum(1) + 1)
        cross_entropy = F.binary_cross_entropy_with_logits(sampled, truth, reduction="none")
        error = (expected - _mask_iou(logits.detach(), masks)).square()
        per_mask = {"mask": cross_entropy.mean(1), "dice": dice, "iou": error}
        return {name: (share * loss).sum() for name, loss in per_mask.items()}


def _presence_loss(
    unions: torch.Tensor, present: torch.Tensor, parts: torch.Tensor, absent: torch.Tensor
) -> torch.Tensor:
    """Mean over the images of the mean over what is known to be there, and not to be there.

    Args:
        unions: (B, Q) logits of the view's queries.
        present: (B, Q) 1 for those that are there.
        parts: (B, N) logits of the part queries.
        absent: (B, N) 1 for those that are not there.
    """
    there = (present * F.softplus(-unions)).sum(1) + (absent * F.softplus(parts)).sum(1)
    return (there / (present.sum(1) + absent.sum(1))).mean()


def _sample_points(
    logits: torch.Tensor, count: int, draws: list[tuple[int, torch.Generator]]
) -> torch.Tensor:
    """Points (P, count, 2) in [-1, 1] for masks (P, h, w), most of them near their borders.

    ``draws`` holds for each image its number of masks and its generator, so that the points of an
    image do not depend on the others in its batch.
    """
    uncertain = int(_UNCERTAIN_SHARE * count)
    drawn = _OVERSAMPLING * count + count - uncertain
    device = logits.device
    points = torch.cat([torch.rand(n, drawn, 2, generator=g, device=device) for n, g in draws])
    candidates, uniform = (points * 2 - 1).split([_OVERSAMPLING * count, count - uncertain], dim=1)
    distance = _read(logits, candidates).abs()
    nearest = distance.topk(uncertain, dim=1, largest=False, sorted=False).indices
    chosen = candidates.gather(1, nearest[..., None].expand(-1, -1, 2))
    return torch.cat([chosen, uniform], dim=1)


def _read(masks: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Bilinear values (P, K) of masks (P, h, w) at points (P, K, 2)."""
    return F.grid_sample(masks[:, None], points[:, None], align_corners=False)[:, 0, 0]


def _mask_iou(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """IoU (P,) of binarised logits (P, h, w) with masks (P, S, S), at the logits' resolution."""
    predicted = (logits > 0).float()
    truth = shrink(masks, logits.shape[-1])
    intersection = (predicted * truth).sum((1, 2))
    union = torch.maximum(predicted, truth).sum((1, 2))
    return intersection / union.clamp(min=1e-6)


def _dense_loss(dense: Sequence[torch.Tensor], supervision: Supervision) -> torch.Tensor:
    """Mean over the photos of the mean over the pixels that are not ignored."""
    labels = torch.stack([target.label_map for target in supervision.targets])[:, None].float()
    losses = []
    for logits in dense:
        small = F.interpolate(labels, size=logits.shape[-2:], mode="nearest-exact")[:, 0].long()
        every = torch.zeros_like(small, dtype=torch.float32)
        for view, rows in supervision.by_view():
            every = every.index_put(
                (torch.tensor(rows, device=every.device),),
                _cross_entropy(logits[rows].float(), small[rows], view),
            )
        labelled = (small != IGNORED).sum((1, 2)).clamp(min=1)
        losses.append((every.sum((1, 2)) / labelled).mean())
    return torch.stack(losses).mean()


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor, view: ViewQueries) -> torch.Tensor:
    """(B, h, w); a label of the view is right wherever one of its parts is predicted.

    Attached parts learn nothing from it, as in :func:`unite`.

    Args:
        logits: (B, 1 + C, h, w) of parts.
        labels: (B, h, w) of the view's classes.
        view: of all photos.
    """
    if not view.view.is_whole:
        attached = view.attached[labels].movedim(-1, 1)
        logits = torch.where(attached, logits.detach(), logits)
        likely = view.told.float() @ logits.softmax(1).flatten(2)
        logits = likely.clamp(min=_LEAST).log().unflatten(2, logits.shape[2:])
        return F.nll_loss(logits, labels, ignore_index=IGNORED, reduction="none")
    return F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none")
