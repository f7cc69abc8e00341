"""A view's classes as unions of the parts that the decoder knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from sav.modeling.sam.decoder import DecoderOutput
from sav.ontology import View
from sav.precision import float32

_LEAST = 1e-30  # of what a logarithm is taken of


class _Union(NamedTuple):
    """A class by the ids of its parts, see :class:`sav.ontology.Union`."""

    parts: list[int]
    attached: list[int]
    each: bool


@dataclass
class Members:
    """Which of N part queries make each of Q unions; P pairs of them.

    Attributes:
        classes: (Q,) int64 the view's class of each union.
        group: (Q,) int64 the group of part queries that it is made from.
        union: (P,) int64 ascending.
        part: (P,) int64 the part query.
        counts: (P,) int64, 1 where the part says that the union is there, 0 where it is attached.
        first: (Q,) int64 a part query of each union, the only one of many.
        several: (R,) int64 the unions of more than one part.
        pairs: (S,) int64 the pairs of these.
        joint: (S,) int64 for each of these pairs its union's place in ``several``.
        counting: (T,) int64 those of the S pairs whose part says that the union is there.
    """

    classes: torch.Tensor
    group: torch.Tensor
    union: torch.Tensor
    part: torch.Tensor
    counts: torch.Tensor
    first: torch.Tensor
    several: torch.Tensor
    pairs: torch.Tensor
    joint: torch.Tensor
    counting: torch.Tensor

    @classmethod
    def of(cls, groups: Sequence[Mapping[int, int]], unions: Sequence[_Union]) -> Members:
        """Unions of each class from each group that has a part of it.

        Args:
            groups: the query of each part that a group has.
            unions: the parts of each class.
        """
        heads, pairs = [], []
        for class_id, union in enumerate(unions):
            for parts in [[part] for part in union.parts] if union.each else [union.parts]:
                for number, group in enumerate(groups):
                    own = [(group[part], True) for part in parts if part in group]
                    if not own:
                        continue
                    own += [(group[part], False) for part in union.attached if part in group]
                    pairs += [(len(heads), *one) for one in own]
                    heads.append((class_id, number))
        return cls.from_pairs(*_columns(heads, 2), *_columns(pairs, 3))

    @classmethod
    def from_pairs(
        cls,
        classes: torch.Tensor,
        group: torch.Tensor,
        union: torch.Tensor,
        part: torch.Tensor,
        counts: torch.Tensor,
    ) -> Members:
        """From the columns of that name, one entry a union or a pair."""
        sizes = union.bincount(minlength=len(classes))
        several = sizes > 1
        pairs = several[union].nonzero()[:, 0]
        return cls(
            classes=classes,
            group=group,
            union=union,
            part=part,
            counts=counts,
            first=part[sizes.cumsum(0) - sizes],
            several=several.nonzero()[:, 0],
            pairs=pairs,
            joint=(several.cumsum(0) - 1)[union[pairs]],
            counting=counts[pairs].nonzero()[:, 0],
        )

    def select(self, unions: torch.Tensor) -> Members:
        """Those of some unions (R,), in that order."""
        place = torch.full_like(self.classes, -1)
        place[unions] = torch.arange(len(unions), device=place.device)
        number = place[self.union]
        order = number.argsort(stable=True)
        kept = order[(number < 0).sum() :]
        columns = (self.part[kept], self.counts[kept])
        return self.from_pairs(self.classes[unions], self.group[unions], number[kept], *columns)

    def of_images(self, count: int, num_queries: int) -> Members:
        """The unions of several images, whose part queries follow one another."""
        image = torch.arange(count)[:, None]
        union, part = image * len(self.classes) + self.union, image * num_queries + self.part
        same = (x.repeat(count) for x in (self.classes, self.group))
        return self.from_pairs(*same, union.flatten(), part.flatten(), self.counts.repeat(count))

    def to(self, device: torch.device) -> Members:
        """On another device."""
        return Members(*(getattr(self, field.name).to(device) for field in fields(self)))


def _columns(rows: Sequence[Sequence[int]], count: int) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, count).T.contiguous()


@float32()
def unite(output: DecoderOutput, members: Members) -> DecoderOutput:
    """The decoder's output for unions of part queries.

    A union is where one of its parts is: with probability 1 - product of (1 - p). Its mask joins
    those of its parts, each weighed by how likely it is to be there, compared with the likeliest
    of those that count. Its IoU is the mean of theirs, weighed by their areas. A union of one part
    is that part, to the bit.

    An attached part learns from its union where it is not, and nothing else. A bumper's mask does
    not tell which of its places are the plate, and a plate that learnt from it would fill it all.

    Args:
        output: of B images and N part queries.
        members: of Q unions.

    Returns:
        That of B images and Q unions.
    """
    output = output.float()
    masks, presence, iou = (
        x[:, members.first] for x in (output.masks, output.presence, output.iou)
    )
    if len(members.several):
        joined = _join(output, members)
        alone = masks, presence, iou
        masks, presence, iou = (
            x.index_copy(1, members.several, y) for x, y in zip(alone, joined, strict=True)
        )
    return replace(output, masks=masks, presence=presence, iou=iou)


def _join(
    output: DecoderOutput, members: Members
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Masks (B, R, h, w), presence and IoU (B, R) logits of the R unions of several parts."""
    union, part = members.joint, members.part[members.pairs]
    masks, presence, iou = output.masks[:, part], output.presence[:, part], output.iou[:, part]
    counts = members.counts[members.pairs] > 0
    masks = _never_grown(masks, ~counts)
    presence, iou = (torch.where(counts, x, x.detach()) for x in (presence, iou))
    zeros = presence.new_zeros(len(presence), len(members.several))
    counting = members.counting
    # softplus(x) is -log(1 - sigmoid(x)): of a union it is the sum over its parts.
    there = zeros.index_add(1, union[counting], F.softplus(presence[:, counting]))
    likely = F.logsigmoid(presence)
    index = union[counting].expand(len(presence), -1)
    best = zeros.scatter_reduce(1, index, likely.detach()[:, counting], "amax", include_self=False)
    # A mask that needs a part teaches that it is there; otherwise the likeliest ones, held to be
    # all there is, would have to fill the mask alone. Nothing compares with the likeliest itself.
    surest = likely.detach() >= best[:, union]
    weight = (likely - best[:, union]).masked_fill(surest, 0.0)[..., None, None]
    shown = _shown(masks, weight)
    mask = masks.new_zeros(*zeros.shape, *masks.shape[2:]).index_add(1, union, shown)
    area = weight.detach()[..., 0, 0].exp() * masks.detach().sigmoid().mean((2, 3)).clamp(min=1e-6)
    total = zeros.index_add(1, union, area)
    expected = zeros.index_add(1, union, area * iou.sigmoid()) / total
    return _logit_of_sum(mask), _logit_of_sum(there), expected.logit(eps=1e-6)


def _never_grown(masks: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """The mask logits (B, S, h, w); those of ``which`` (S,) bool learn to shrink, not to grow."""
    if not masks.requires_grad:
        return masks
    which = which[:, None, None]
    masks.register_hook(lambda gradient: torch.where(which, gradient.clamp(min=0), gradient))
    return masks


def _shown(masks: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """-log(1 - weight * sigmoid(mask)) of mask logits, by the logarithm of the weight.

    Each of two forms is exact where the other one rounds: this one where the mask is certain and
    the weight is 1, that one where the mask is almost nowhere, and must still learn.
    """
    high, low = masks.clamp(min=0.0), masks.clamp(max=0.0)
    certain = -torch.logaddexp((-weight.expm1()).log(), weight + F.logsigmoid(-high))
    rare = -torch.log1p(-(weight + F.logsigmoid(low)).exp())
    return torch.where(masks > 0, certain, rare)


def _logit_of_sum(total: torch.Tensor) -> torch.Tensor:
    """The logit of 1 - exp(-total)."""
    total = total.clamp(min=_LEAST)
    return total + (-torch.expm1(-total)).log()


class ViewQueries(nn.Module):
    """The queries of a view: unions of part queries with the same slot.

    Args:
        view: of a graph of C parts, with K classes.
        part_classes: (N,) sorted part of each part query.
        part_slots: (N,) slot of each part query.

    Attributes:
        view: as given.
        classes: (Q,) int64 the view's class of each query.
        told: (1 + K, 1 + C) bool: what a place with each label of the view can show, background
            first.
        attached: (1 + K, 1 + C) bool: which of these say nothing about whether the label is there.
        covered: (C,) bool, the parts that the view tells to be there or not.
        narrower: (K, K) bool: whether the parts of the second class are some of the first one's.
    """

    classes: torch.Tensor
    told: torch.Tensor
    attached: torch.Tensor
    covered: torch.Tensor
    narrower: torch.Tensor

    def __init__(self, view: View, part_classes: torch.Tensor, part_slots: torch.Tensor) -> None:
        super().__init__()
        self.view = view
        self.num_queries = len(part_classes)
        ids = view.graph.class_id
        self.unions = [
            _Union([*map(ids, union.parts)], [*map(ids, union.attached)], union.each)
            for union in view.unions
        ]
        groups: list[dict[int, int]] = [{} for _ in range(int(part_slots.max()) + 1)]
        for query, place in enumerate(zip(part_slots.tolist(), part_classes.tolist(), strict=True)):
            groups[place[0]][place[1]] = query
        members = Members.of(groups, self.unions)
        self._members = members  # on the CPU
        told = torch.zeros(1 + len(self.unions), 1 + len(view.graph), dtype=torch.bool)
        attached = torch.zeros_like(told)
        for class_id, union in enumerate(self.unions):
            attached[class_id + 1, [part + 1 for part in union.attached]] = True
            told[class_id + 1, [part + 1 for part in (*union.parts, *union.attached)]] = True
        counts = (told & ~attached)[1:, 1:]
        told[0] = ~told.any(0)
        shared = counts.float() @ counts.float().T
        sizes = counts.sum(1)
        narrower = (shared == sizes) & (sizes < sizes[:, None])
        buffers = {"told": told, "attached": attached, "covered": counts.any(0)}
        buffers |= {"narrower": narrower, **vars(members)}
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def members(self) -> Members:
        """What each query is a union of."""
        return Members(*(getattr(self, field.name) for field in fields(Members)))

    def forward(self, output: DecoderOutput) -> DecoderOutput:
        """The decoder's output for N part queries, as that for the view's Q queries."""
        return output if self.view.is_whole else unite(output, self.members)

    def masks_of(
        self, output: DecoderOutput, image: torch.Tensor, query: torch.Tensor
    ) -> torch.Tensor:
        """The masks of some of the view's queries, without uniting all the others.

        Args:
            output: of B images and N part queries.
            image: (P,) int64 ascending, on the CPU.
            query: (P,) int64 of the view, on the CPU.

        Returns:
            (P, h, w) logits.
        """
        device = output.masks.device
        if self.view.is_whole:
            return output.masks[
                image.to(device, non_blocking=True), query.to(device, non_blocking=True)
            ]
        # One image with the queries of all: a GPU waits for each of many small operations.
        every = self._members.of_images(len(output.masks), self.num_queries)
        chosen = every.select(image * len(self._members.classes) + query)
        return unite(output.joined(), chosen.to(device)).masks[0]

    def beyond_narrower(self, presence: torch.Tensor, members: Members) -> torch.Tensor:
        """How likely unions are, where no narrower class of the view says it better.

        A view may have a light of which the side is not told beside a left and a right one. Where
        the side is clear, the former is not there.

        Args:
            presence: (Q,) probabilities.
            members: of these unions.
        """
        same = members.group[:, None] == members.group
        narrower = self.narrower[members.classes[:, None], members.classes] & same
        # A column of zeros, because nothing has no greatest value where there is no union.
        best = F.pad(torch.where(narrower, presence, 0.0), (1, 0)).amax(1)
        return (presence - best).clamp(min=0.0)

    def tell_apart(
        self, masks: torch.Tensor, predicted: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Which parts an annotated vehicle shows where.

        A place of a class that has several parts goes to the likeliest of them.

        Args:
            masks: (K, n, n) share of each class of the view at each place.
            predicted: (C, n, n) probability of each part there.

        Returns:
            (C, n, n) share of each part, and (C,) bool, the parts of which the annotation tells
            whether they are there. It does not tell which parts of a class are missing.
        """
        if self.view.is_whole:
            return masks, self.covered
        told = self.told[1:, 1:]
        likely = torch.where(told[..., None, None], predicted, -1.0).argmax(1)  # (K, n, n)
        chosen = F.one_hot(likely, told.shape[1]).permute(0, 3, 1, 2)
        parts = (masks[:, None] * chosen).amax(0)
        shown = told & masks.flatten(1).any(1)[:, None]
        missing = self.covered & ~shown.any(0)
        return parts, missing | parts.flatten(1).any(1)

    def parts_of(self, unions: torch.Tensor) -> torch.Tensor:
        """(B, N) float, the greatest of the values (B, Q) of the unions that a part query is in."""
        values = unions[:, self.union]
        parts = unions.new_zeros(len(unions), self.num_queries)
        return parts.scatter_reduce(1, self.part.expand_as(values), values, "amax")

    def classes_of(self, parts: Sequence[bool]) -> torch.Tensor:
        """(K,) bool on the CPU, the classes that have parts, all of them among these C."""
        own = [[*union.parts, *union.attached] for union in self.unions]
        return torch.tensor([bool(ids) and all(parts[part] for part in ids) for ids in own])
