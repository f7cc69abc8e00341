"""Training losses: match queries to instances within each class, then supervise every query."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from sav.d2 import Instances
from sav.modeling.sam.decoder import DecoderOutput

_ACROSS_CLASSES = 1e4
_MATCHING_SIDE = 32
_OVERSAMPLING = 3
_UNCERTAIN_SHARE = 0.75
_IGNORED = -1  # a label
_TINY = torch.finfo(torch.float32).tiny


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
    def from_instances(cls, instances: Instances, taught: torch.Tensor) -> Targets:
        """Read gt_classes and gt_masks.

        Args:
            instances: of one image.
            taught: (C,) bool, on the device to use. Instances of other classes are left out, and
                their pixels are ignored.
        """
        classes = instances.gt_classes.to(taught.device)
        masks = instances.gt_masks.tensor.to(taught.device)
        label_map = torch.zeros(masks.shape[-2:], dtype=torch.int64, device=taught.device)
        labels = torch.where(taught[classes], classes + 1, _IGNORED)
        for index in masks.flatten(1).sum(1).argsort(descending=True).tolist():
            label_map[masks[index]] = labels[index]
        kept = taught[classes]
        return cls(classes[kept], masks[kept].float(), label_map)

    def parts(self, num_classes: int) -> torch.Tensor:
        """(num_classes, S, S) float, 1 where an instance of the class is."""
        parts = self.masks.new_zeros(num_classes, *self.label_map.shape)
        index = self.classes[:, None, None].expand_as(self.masks)
        return parts.scatter_reduce_(0, index, self.masks, "amax")


@dataclass
class Supervision:
    """What a model is to learn from B photos.

    Attributes:
        targets: one a photo.
        generators: one a photo, on the model's device; everything random about it is drawn there.
        asked: (B, N) bool, queries whose class the photo's annotations can speak of. The others
            learn nothing from it.
    """

    targets: list[Targets]
    generators: list[torch.Generator]
    asked: torch.Tensor

    def select(self, rows: list[int]) -> Supervision:
        """That of some photos."""
        targets, generators = ([x[row] for row in rows] for x in (self.targets, self.generators))
        return Supervision(targets, generators, self.asked[rows])


@dataclass
class Matches:
    """Matched pairs of a batch, P of them, as index vectors (P,)."""

    image: torch.Tensor
    query: torch.Tensor
    instance: torch.Tensor


class PartCriterion(nn.Module):
    """Mask, dice, presence, IoU and dense losses.

    Every photo counts the same, however many parts it shows. So the losses of a batch are the mean
    over its photos, and how a batch is shared out over processes or steps does not change them.

    Args:
        query_classes: (N,) class of each query.
        weights: "mask", "dice", "presence", "iou", "dense".
        points: sampled for each matched mask, three quarters of them where the mask is least
            certain (PointRend, arXiv 1912.08193).
    """

    def __init__(
        self, *, query_classes: torch.Tensor, weights: dict[str, float], points: int
    ) -> None:
        super().__init__()
        self.register_buffer("query_classes", query_classes, persistent=False)
        self.weights = weights
        self.points = points

    def forward(
        self,
        output: DecoderOutput,
        dense: list[torch.Tensor],
        supervision: Supervision,
    ) -> dict[str, torch.Tensor]:
        """Compute all losses.

        Args:
            output: the decoder's.
            dense: auxiliary class logits (B, C + 1, h, w) at any resolution.
            supervision: of the same images.

        Returns:
            Weighted scalar losses by name.
        """
        losses = self.supervise(output, supervision)
        losses["loss_dense"] = self.weights["dense"] * _dense_loss(dense, supervision.targets)
        return losses

    def supervise(self, output: DecoderOutput, supervision: Supervision) -> dict[str, torch.Tensor]:
        """The losses of masks, presence and IoU; see :meth:`forward`."""
        matches = self.match(output, supervision.targets)
        present = torch.zeros_like(output.presence)
        present[matches.image, matches.query] = 1.0
        losses = {"presence": _presence_loss(output.presence, present, supervision.asked.float())}
        losses.update(self._mask_losses(output, supervision, matches))
        return {f"loss_{name}": self.weights[name] * loss for name, loss in losses.items()}

    @torch.no_grad()
    def match(self, output: DecoderOutput, targets: list[Targets]) -> Matches:
        """Hungarian matching within each class.

        Instances beyond a class's number of slots stay unmatched.
        """
        classes = pad_sequence([t.classes for t in targets], batch_first=True, padding_value=-1)
        same = self.query_classes[:, None] == classes[:, None]
        cost = _pair_cost(output.masks, targets) - output.presence.sigmoid()[..., None]
        # One transfer for the whole batch: the assignment runs on the CPU.
        costs = torch.where(same, cost, _ACROSS_CLASSES).float().cpu().nan_to_num().numpy()
        pairs = [
            (image, query, instance)
            for image, target in enumerate(targets)
            for query, instance in zip(
                *linear_sum_assignment(costs[image, :, : len(target.classes)]), strict=True
            )
            if costs[image, query, instance] < _ACROSS_CLASSES
        ]
        matched = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 3)
        return Matches(*matched.T.to(output.masks.device))

    def _mask_losses(
        self, output: DecoderOutput, supervision: Supervision, matches: Matches
    ) -> dict[str, torch.Tensor]:
        targets = supervision.targets
        logits = output.masks[matches.image, matches.query].float()
        if len(logits) == 0:
            # Keeps every parameter in the graph, which distributed training needs.
            zero = (output.masks.sum() + output.iou.sum()) * 0.0
            return {"mask": zero, "dice": zero, "iou": zero}
        masks = torch.stack(
            [
                targets[image].masks[instance]
                for image, instance in zip(
                    matches.image.tolist(), matches.instance.tolist(), strict=True
                )
            ]
        )
        counts = matches.image.bincount(minlength=len(targets))
        share = 1.0 / (counts[matches.image] * len(targets))
        draws = list(zip(counts.tolist(), supervision.generators, strict=True))
        points = _sample_points(logits.detach(), self.points, draws)
        sampled = _read(logits, points)
        truth = _read(masks, points)
        probability = sampled.sigmoid()
        intersection = (probability * truth).sum(1)
        dice = 1 - (2 * intersection + 1) / (probability.sum(1) + truth.sum(1) + 1)
        cross_entropy = F.binary_cross_entropy_with_logits(sampled, truth, reduction="none")
        predicted = output.iou[matches.image, matches.query].float().sigmoid()
        error = (predicted - _mask_iou(logits.detach(), masks)).square()
        per_mask = {"mask": cross_entropy.mean(1), "dice": dice, "iou": error}
        return {name: (share * loss).sum() for name, loss in per_mask.items()}


def _presence_loss(
    logits: torch.Tensor, present: torch.Tensor, asked: torch.Tensor
) -> torch.Tensor:
    """Mean over the images of the mean over the queries asked; all are (B, N)."""
    every = F.binary_cross_entropy_with_logits(logits, present, reduction="none")
    return ((every * asked).sum(1) / asked.sum(1)).mean()


def _shrink(masks: torch.Tensor, side: int) -> torch.Tensor:
    """Average square (M, S, S) masks or logits over the cells of a (side, side) grid.

    S is ``side`` times a power of two. On a CPU avg_pool2d takes several times as long.
    """
    while masks.shape[-1] > side:
        pairs = masks[:, ::2] + masks[:, 1::2]
        masks = (pairs[..., ::2] + pairs[..., 1::2]) / 4
    return masks


def _pair_cost(logits: torch.Tensor, targets: list[Targets]) -> torch.Tensor:
    """Cross-entropy plus dice of every query with every instance of its image.

    Which instance a query is nearest to shows on a coarse grid.

    Args:
        logits: (B, N, h, w).
        targets: B of them, with at most M instances.

    Returns:
        (B, N, M); meaningless beyond an image's own instances.
    """
    side = logits.shape[-1]
    while side > _MATCHING_SIDE and side % 2 == 0:
        side //= 2
    truth = _shrink(torch.cat([target.masks for target in targets]), side).flatten(1)
    truth = pad_sequence(truth.split([len(t.classes) for t in targets]), batch_first=True)
    logits = _shrink(logits.flatten(0, 1).float(), side).flatten(1).unflatten(0, logits.shape[:2])
    covered = truth.transpose(1, 2)
    # softplus(x) is -log(sigmoid(-x)), which a CPU works out in a tenth of the time.
    empty = -(-logits).sigmoid().clamp(min=_TINY).log()
    cross_entropy = empty.sum(2, keepdim=True) - logits @ covered
    probability = logits.sigmoid()
    total = probability.sum(2, keepdim=True) + truth.sum(2)[:, None]
    return cross_entropy / side**2 + 1 - (2 * probability @ covered + 1) / (total + 1)


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
    truth = _shrink(masks, logits.shape[-1])
    intersection = (predicted * truth).sum((1, 2))
    union = torch.maximum(predicted, truth).sum((1, 2))
    return intersection / union.clamp(min=1e-6)


def _dense_loss(dense: list[torch.Tensor], targets: list[Targets]) -> torch.Tensor:
    """Mean over the photos of the mean over the pixels that are not ignored."""
    labels = torch.stack([target.label_map for target in targets])[:, None].float()
    losses = []
    for logits in dense:
        small = F.interpolate(labels, size=logits.shape[-2:], mode="nearest-exact")[:, 0].long()
        every = F.cross_entropy(logits.float(), small, ignore_index=_IGNORED, reduction="none")
        labelled = (small != _IGNORED).sum((1, 2)).clamp(min=1)
        losses.append((every.sum((1, 2)) / labelled).mean())
    return torch.stack(losses).mean()
