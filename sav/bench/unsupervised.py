"""Predictions of classes that training never supervised, by the knowledge graph."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from sav.modeling.graph.queries import PartQueries
from sav.modeling.sam.decoder import NEVER, DecoderOutput
from sav.ontology import Ontology
from sav.ontology.graph import touching_ids

_BONUS = 2.0


class UnsupervisedClasses(nn.Module):
    """Predicts, in its first slot, each class that was never supervised.

    A query with the prompt of such a class finds the most similar supervised class. So the dense
    classifier, whose weights are made from the node, tells where the part is, and the graph's
    relations tell whether it is there: as likely as the likeliest of the parts that it touches on
    its side of the vehicle.

    Args:
        ontology: the part vocabulary.
        queries: of the model.
        supervised: (C,) bool.
    """

    def __init__(self, ontology: Ontology, queries: PartQueries, supervised: torch.Tensor) -> None:
        super().__init__()
        held_out = ~supervised[queries.classes]
        self.register_buffer("query_classes", queries.classes, persistent=False)
        self.register_buffer("first_slot", held_out & (queries.slots == 0), persistent=False)
        self.register_buffer("other_slots", held_out & (queries.slots > 0), persistent=False)
        self.register_buffer("supervised", supervised, persistent=False)
        touching = torch.zeros(len(supervised), len(supervised), dtype=torch.bool)
        for row, others in zip(touching, touching_ids(ontology), strict=True):
            row[others] = True
        self.register_buffer("touching", touching & supervised, persistent=False)

    def forward(self, output: DecoderOutput, logits: torch.Tensor) -> DecoderOutput:
        """Replace the decoder's output for classes that were never supervised.

        Args:
            output: of B photos and N queries.
            logits: (B, 1 + C, h, w) of the dense classifier, background first.
        """
        masks = class_margins(logits, self.supervised)[:, self.query_classes]
        presence = self._presence(output.presence, masks)
        replaced = self.first_slot
        return replace(
            output,
            masks=torch.where(replaced[..., None, None], masks, output.masks),
            presence=torch.where(replaced, presence, output.presence).masked_fill(
                self.other_slots, NEVER
            ),
            iou=torch.where(replaced, _confidence(masks), output.iou),
        )

    def _presence(self, presence: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(B, N) logits of the likeliest part that it touches; without any, the best margin."""
        index = self.query_classes.expand_as(presence)
        classes = presence.new_full((len(presence), len(self.supervised)), NEVER)
        classes = classes.scatter_reduce(1, index, presence, "amax")
        likeliest = torch.where(self.touching, classes[:, None], NEVER).amax(2)
        return torch.where(
            self.touching.any(1)[self.query_classes],
            likeliest[:, self.query_classes],
            masks.amax((2, 3)),
        )


def _confidence(masks: torch.Tensor) -> torch.Tensor:
    """(B, N) logits: how sure mask logits (B, N, h, w) are on average of the places they take."""
    inside = masks > 0
    sure = (masks.sigmoid() * inside).sum((2, 3)) / inside.sum((2, 3)).clamp(min=1)
    return sure.logit(eps=1e-4)


def class_margins(logits: torch.Tensor, supervised: torch.Tensor) -> torch.Tensor:
    """How far each class is above the best of all others.

    In training an unsupervised class is right nowhere, so its logits are too low everywhere and get
    a bonus (calibrated stacking, arXiv 1605.04253).

    Args:
        logits: (B, 1 + C, h, w), background first.
        supervised: (C,) bool.

    Returns:
        (B, C, h, w), above 0 where the class is the best.
    """
    logits = logits + _BONUS * F.pad(~supervised, (1, 0))[:, None, None]
    first, second = logits.topk(2, dim=1).values.split(1, dim=1)
    parts = logits[:, 1:]
    return parts - torch.where(parts == first, second, first)
