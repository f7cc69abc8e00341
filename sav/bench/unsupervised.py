"""Answers for classes that training never supervised: the knowledge graph gives them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from sav.modeling.sam.decoder import NEVER, DecoderOutput
from sav.ontology import Ontology

_BONUS = 2.0


class UntaughtClasses(nn.Module):
    """Answers in the first slot of each class that was never taught.

    Queries learn to answer for what they are trained with: another class's query finds the likest
    of these. So the dense map, whose classifiers are made of what a node says, tells where such a
    part is, and the graph's relations whether it is there at all: as likely as the likeliest of the
    parts that it touches on its own side of the vehicle.

    Args:
        ontology: the part vocabulary.
        query_classes: (N,) class of each query.
        slot_ids: (N,) its number within the class.
        taught: (C,) bool.
    """

    def __init__(
        self,
        ontology: Ontology,
        *,
        query_classes: torch.Tensor,
        slot_ids: torch.Tensor,
        taught: torch.Tensor,
    ) -> None:
        super().__init__()
        self.register_buffer("query_classes", query_classes, persistent=False)
        self.register_buffer("answering", ~taught[query_classes] & (slot_ids == 0), False)
        self.register_buffer("silent", ~taught[query_classes] & (slot_ids > 0), False)
        self.register_buffer("taught", taught, persistent=False)
        witnesses = torch.zeros(len(taught), len(taught), dtype=torch.bool)
        for row, touching in zip(witnesses, ontology.touching_ids, strict=True):
            row[touching] = True
        self.register_buffer("witnesses", witnesses & taught, persistent=False)

    def forward(
        self, output: DecoderOutput, logits: torch.Tensor, known: torch.Tensor
    ) -> DecoderOutput:
        """Replace what the decoder says of classes that were never taught.

        Args:
            output: of B photos and N queries.
            logits: (B, 1 + C, h, w) of the dense map, background first.
            known: (B, C) bool, the classes of each photo's vocabulary.
        """
        masks = class_margins(logits, self.taught)[:, self.query_classes]
        presence = self._presence(output.presence, masks)
        answered = self.answering & known[:, self.query_classes]
        return replace(
            output,
            masks=torch.where(answered[..., None, None], masks, output.masks),
            presence=torch.where(answered, presence, output.presence).masked_fill(
                self.silent, NEVER
            ),
            iou=torch.where(answered, _confidence(masks), output.iou),
        )

    def _presence(self, presence: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(B, N) logits: the likeliest witness's, or without any what the map says at its best."""
        index = self.query_classes.expand_as(presence)
        classes = presence.new_full((len(presence), len(self.taught)), NEVER)
        classes = classes.scatter_reduce(1, index, presence, "amax")
        told = torch.where(self.witnesses, classes[:, None], NEVER).amax(2)
        return torch.where(
            self.witnesses.any(1)[self.query_classes],
            told[:, self.query_classes],
            masks.amax((2, 3)),
        )


def _confidence(masks: torch.Tensor) -> torch.Tensor:
    """(B, N) logits: how sure mask logits (B, N, h, w) are on average of the places they take."""
    inside = masks > 0
    sure = (masks.sigmoid() * inside).sum((2, 3)) / inside.sum((2, 3)).clamp(min=1)
    return sure.logit(eps=1e-4)


def class_margins(logits: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """How far each class is above the best of all others.

    Training never showed a place where an untaught class is the answer, so its logits are too low
    everywhere and get a bonus (calibrated stacking, arXiv 1605.04253).

    Args:
        logits: (B, 1 + C, h, w), background first.
        taught: (C,) bool.

    Returns:
        (B, C, h, w), above 0 where the class is the best.
    """
    logits = logits + _BONUS * F.pad(~taught, (1, 0))[:, None, None]
    first, second = logits.topk(2, dim=1).values.split(1, dim=1)
    own = logits[:, 1:]
    return own - torch.where(own == first, second, first)
