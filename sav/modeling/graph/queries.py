"""Decoder queries: class prompts, once for each instance that a photo can show."""

from __future__ import annotations

import torch
from torch import nn

from sav.modeling.embedding import EMBEDDING_DIM
from sav.ontology import Ontology

MAX_SLOTS = 16


def query_classes(ontology: Ontology, max_slots: int) -> torch.Tensor:
    """(N,) int64 sorted class of each query: as many a class as its instances, or ``max_slots``."""
    slots = torch.tensor(ontology.slots).clamp(max=max_slots)
    return torch.arange(len(ontology)).repeat_interleave(slots)


class PartQueries(nn.Module):
    """Adds a slot embedding to class prompts, so that queries of one class find other instances.

    Args:
        classes: (N,) sorted class of each query.
    """

    def __init__(self, classes: torch.Tensor) -> None:
        super().__init__()
        slots = torch.cat([torch.arange(count) for count in classes.bincount().tolist()])
        self.register_buffer("classes", classes, persistent=False)
        self.register_buffer("slots", slots, persistent=False)
        self.slot_embedding = nn.Embedding(MAX_SLOTS, EMBEDDING_DIM)

    def forward(self, prompts: torch.Tensor) -> torch.Tensor:
        """Class prompts (B, C, 256) to queries (B, N, 256)."""
        return prompts[:, self.classes] + self.slot_embedding(self.slots)
