"""The context encoder: what neighbours say of each part class, and where they say it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from sav.gallery.exemplars import Neighbours
from sav.modeling.context.frame import lay_over

_COMPARED_DIM = 64
_FAR = -1e4


@dataclass
class Evidence:
    """What k neighbours say of C classes in B images.

    Attributes:
        placed: (B, C, g, g) share of each part that the neighbours have at each place, when their
            boxes are laid over the vehicle's.
        mistaken: (B, C, g, g) likewise, how much more of each part they have than the model saw in
            them, in [-1, 1].
        alike: (B, C, g, g) probability that a place shows the part, by its likeness to the
            neighbours' parts and surroundings.
        seen: (B, C) share of the neighbours that show the part.
        trust: (B,) similarity of the nearest neighbour; 0 without any.
        exists: (B,) bool, whether there is any neighbour. All else is 0 where not.
    """

    placed: torch.Tensor
    mistaken: torch.Tensor
    alike: torch.Tensor
    seen: torch.Tensor
    trust: torch.Tensor
    exists: torch.Tensor


class ContextEncoder(nn.Module):
    """A photo attends over its neighbours, the more to those that are more similar.

    Args:
        dim: width of embedding and prototypes.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.compare = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, _COMPARED_DIM))
        self.log_likeness = nn.Parameter(torch.tensor(2.0))
        self.log_attention = nn.Parameter(torch.tensor(3.0))

    def forward(
        self, neighbours: Neighbours, embedding: torch.Tensor, boxes: torch.Tensor, size: int
    ) -> Evidence:
        """Encode the context.

        Args:
            neighbours: of B images.
            embedding: (B, dim, h, w).
            boxes: (B, 4) of the vehicles, see :func:`sav.modeling.context.frame.vehicle_boxes`.
            size: g.
        """
        exists = neighbours.exists.any(1)
        attention = neighbours.similarity * self.log_attention.exp()
        attention = attention.masked_fill(~neighbours.exists, _FAR).log_softmax(1)
        weight = attention.exp() * neighbours.exists
        layouts = torch.einsum("bk,bkcij->bcij", weight, neighbours.layouts)
        predicted = torch.einsum("bk,bkcij->bcij", weight, neighbours.predicted)
        alike = self._likeness(neighbours, embedding, attention)
        alike = F.interpolate(alike, size=(size, size), mode="bilinear", align_corners=False)
        return Evidence(
            placed=lay_over(layouts, boxes, size),
            mistaken=lay_over(layouts - predicted, boxes, size),
            alike=alike * exists[:, None, None, None],
            seen=torch.einsum("bk,bkc->bc", weight, neighbours.present.float()),
            trust=neighbours.similarity.amax(1) * exists,
            exists=exists,
        )

    def _likeness(
        self, neighbours: Neighbours, embedding: torch.Tensor, attention: torch.Tensor
    ) -> torch.Tensor:
        """(B, C, h, w), see Evidence; ``attention`` (B, k) is logarithmic.

        What surrounds the neighbours competes as one more class.
        """
        places = F.normalize(self.compare(embedding.permute(0, 2, 3, 1)), dim=-1)
        parts = F.normalize(self.compare(neighbours.prototypes), dim=-1)
        likeness = torch.einsum("bhwd,bkcd->bkchw", places, parts) * self.log_likeness.exp()
        shown = torch.cat([neighbours.present, neighbours.exists[..., None]], dim=-1)
        likeness = likeness.masked_fill(~shown[..., None, None], _FAR)
        likeness = likeness + attention[..., None, None, None]
        return likeness.logsumexp(1).softmax(1)[:, :-1]
