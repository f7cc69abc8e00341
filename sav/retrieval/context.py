"""The context encoder: what neighbours say of each part class."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from sav.retrieval.entries import GEOMETRY_DIM
from sav.retrieval.gallery import Neighbours


class ContextEncoder(nn.Module):
    """Each class's prompt attends over the neighbours that show the class.

    A learned "no exemplar" vector is always among the attended, and is all there is for a class
    that no neighbour shows or when the gallery is empty.

    Args:
        dim: width of prompts and prototypes.
        heads: attention heads.
    """

    def __init__(self, *, dim: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.appearance = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim))
        self.geometry = nn.Sequential(nn.Linear(GEOMETRY_DIM, dim), nn.GELU(), nn.Linear(dim, dim))
        self.no_exemplar = nn.Parameter(torch.randn(dim) * 0.02)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, prompts: torch.Tensor, neighbours: Neighbours | None) -> torch.Tensor:
        """Encode the context.

        Args:
            prompts: (B, C, dim).
            neighbours: of B images, or None when there are none.

        Returns:
            (B, C, dim).
        """
        batch, classes, dim = prompts.shape
        if neighbours is None:
            neighbours = _nobody(batch, classes, dim, prompts.device)
        lent = self.appearance(neighbours.prototypes) + self.geometry(neighbours.geometry)
        lent = lent.transpose(1, 2).reshape(batch * classes, -1, dim)
        present = neighbours.present.transpose(1, 2).reshape(batch * classes, -1)
        values = torch.cat([self.no_exemplar.expand(len(lent), 1, dim), lent], dim=1)
        visible = torch.cat([present.new_ones(len(lent), 1), present], dim=1)
        key, value = self.key_value(values).chunk(2, dim=-1)
        query = self.query(prompts).reshape(batch * classes, 1, dim)
        attended = F.scaled_dot_product_attention(
            self._split(query), self._split(key), self._split(value), visible[:, None, None]
        )
        return self.output(attended.transpose(1, 2).reshape(batch, classes, dim))

    def _split(self, tokens: torch.Tensor) -> torch.Tensor:
        """(X, T, dim) to (X, heads, T, dim / heads)."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _nobody(batch: int, classes: int, dim: int, device: torch.device) -> Neighbours:
    """One neighbour that shows nothing: every parameter stays in use, as DDP demands."""
    return Neighbours(
        prototypes=torch.zeros(batch, 1, classes, dim, device=device),
        geometry=torch.zeros(batch, 1, classes, GEOMETRY_DIM, device=device),
        present=torch.zeros(batch, 1, classes, dtype=torch.bool, device=device),
    )
