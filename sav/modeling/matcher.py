"""Hungarian matching of queries with annotated instances, within each class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch.nn.utils.rnn import pad_sequence

from sav.modeling.sam.decoder import DecoderOutput
from sav.modeling.targets import Targets
from sav.precision import float32

_ACROSS_CLASSES = 1e4
_GRID = 32
_SURE = 80.0  # logits beyond it count as it: float32 has sigmoid(-80), but not sigmoid(-110)


@dataclass
class Matches:
    """Matched pairs of a batch, P of them, as index vectors (P,) int64 on the CPU."""

    image: torch.Tensor
    query: torch.Tensor
    instance: torch.Tensor

    def places(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and queries, to index a tensor (B, N, ...) on a device."""
        image, query = torch.stack([self.image, self.query]).to(device, non_blocking=True)
        return image, query


@torch.no_grad()
@float32()
def match(output: DecoderOutput, targets: list[Targets], query_classes: torch.Tensor) -> Matches:
    """Match each instance with a query of its class.

    Instances beyond a class's number of slots stay unmatched.

    Args:
        output: of B images and N queries.
        targets: B of them.
        query_classes: (N,) class of each query.
    """
    classes = pad_sequence([t.classes for t in targets], batch_first=True, padding_value=-1)
    same = query_classes[:, None] == classes[:, None]
    output = output.float()
    cost = pair_cost(output.masks, targets) - output.presence.sigmoid()[..., None]
    return assign(torch.where(same, cost, _ACROSS_CLASSES), targets)


def assign(cost: torch.Tensor, targets: list[Targets]) -> Matches:
    """The pairs of queries and instances that cost least in all.

    Args:
        cost: (B, N, M) of each query with each instance; pairs of 10,000 and more are none.
        targets: B of them, with at most M instances.
    """
    # The one time that a step waits for a GPU here: the assignment runs on the CPU.
    costs = cost.cpu().nan_to_num().numpy()
    pairs = [
        (image, query, instance)
        for image, target in enumerate(targets)
        for query, instance in zip(
            *linear_sum_assignment(costs[image, :, : len(target.classes)]), strict=True
        )
        if costs[image, query, instance] < _ACROSS_CLASSES
    ]
    return Matches(*torch.tensor(pairs, dtype=torch.int64).reshape(-1, 3).T)


def grid_side(side: int) -> int:
    """The resolution at which masks of this side are compared with annotations."""
    while side > _GRID and side % 2 == 0:
        side //= 2
    return side


def shrink(masks: torch.Tensor, side: int) -> torch.Tensor:
    """Average square (..., S, S) masks or logits over the cells of a (side, side) grid.

    S is ``side`` times a power of two. On a CPU avg_pool2d takes several times as long.
    """
    while masks.shape[-1] > side:
        pairs = masks[..., ::2, :] + masks[..., 1::2, :]
        masks = (pairs[..., ::2] + pairs[..., 1::2]) / 4
    return masks


def pair_cost(logits: torch.Tensor, targets: list[Targets]) -> torch.Tensor:
    """Cross-entropy plus dice of every query with every instance of its image.

    A coarse grid is enough to tell which instance a query is nearest to.

    Args:
        logits: (B, N, h, w).
        targets: B of them, with at most M instances.

    Returns:
        (B, N, M); meaningless beyond an image's own instances.
    """
    side = grid_side(logits.shape[-1])
    truth = shrink(torch.cat([target.masks for target in targets]), side).flatten(1)
    truth = pad_sequence(truth.split([len(t.classes) for t in targets]), batch_first=True)
    logits = shrink(logits, side).clamp(-_SURE, _SURE).flatten(2)
    covered = truth.transpose(1, 2)
    # softplus(x) is -log(sigmoid(-x)), which a CPU works out in a tenth of the time.
    empty = -(-logits).sigmoid().log()
    cross_entropy = empty.sum(2, keepdim=True) - logits @ covered
    probability = logits.sigmoid()
    total = probability.sum(2, keepdim=True) + truth.sum(2)[:, None]
    return cross_entropy / side**2 + 1 - (2 * probability @ covered + 1) / (total + 1)
