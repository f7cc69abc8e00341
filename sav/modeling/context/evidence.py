"""Evidence: what the exemplars found for a photo say about each part, and where."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from sav.gallery.exemplars import Neighbours
from sav.modeling.context.frame import lay_over

_APPEARANCE_DIM = 64
_FAR = -1e4


@dataclass
class Evidence:
    """Evidence for C classes in B images, from k neighbours each.

    Attributes:
        layout: (B, C, g, g) share of each part that the neighbours have at each place, when their
            boxes are laid over the vehicle's.
        error: (B, C, g, g) likewise, the annotated share minus the predicted one: what the model
            misses (or, below 0, invents) in the neighbours, in [-1, 1].
        appearance: (B, C, g, g) probability that a place shows the part, by the similarity of its
            feature to the prototypes of the neighbours' parts and surroundings.
        visibility: (B, C) share of the neighbours that show the part.
        similarity: (B,) of the nearest neighbour; 0 without any.
        exists: (B,) bool, whether there is any neighbour. All else is 0 where not.
    """

    layout: torch.Tensor
    error: torch.Tensor
    appearance: torch.Tensor
    visibility: torch.Tensor
    similarity: torch.Tensor
    exists: torch.Tensor


class EvidenceEncoder(nn.Module):
    """Attends over a photo's neighbours, the more to those that are more similar.

    Args:
        dim: width of embedding and prototypes.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, _APPEARANCE_DIM))
        self.log_appearance_scale = nn.Parameter(torch.tensor(2.0))
        self.log_similarity_scale = nn.Parameter(torch.tensor(3.0))

    def forward(
        self, neighbours: Neighbours, embedding: torch.Tensor, boxes: torch.Tensor, size: int
    ) -> Evidence:
        """Weigh the neighbours.

        Args:
            neighbours: of B images.
            embedding: (B, dim, h, w).
            boxes: (B, 4) of the vehicles, see :func:`sav.modeling.context.frame.vehicle_boxes`.
            size: g.
        """
        exists = neighbours.exists.any(1)
        attention = neighbours.similarity * self.log_similarity_scale.exp()
        attention = attention.masked_fill(~neighbours.exists, _FAR).log_softmax(1)
        weight = attention.exp() * neighbours.exists
        layouts = torch.einsum("bk,bkcij->bcij", weight, neighbours.layouts)
        predicted = torch.einsum("bk,bkcij->bcij", weight, neighbours.predicted_layouts)
        appearance = self._appearance(neighbours, embedding, attention)
        appearance = F.interpolate(
            appearance, size=(size, size), mode="bilinear", align_corners=False
        )
        return Evidence(
            layout=lay_over(layouts, boxes, size),
            error=lay_over(layouts - predicted, boxes, size),
            appearance=appearance * exists[:, None, None, None],
            visibility=torch.einsum("bk,bkc->bc", weight, neighbours.present.float()),
            similarity=neighbours.similarity.amax(1) * exists,
            exists=exists,
        )

    def _appearance(
        self, neighbours: Neighbours, embedding: torch.Tensor, attention: torch.Tensor
    ) -> torch.Tensor:
        """(B, C, h, w), see Evidence; ``attention`` (B, k) is logarithmic.

        The surroundings of the neighbours compete as one more class.
        """
        places = F.normalize(self.project(embedding.permute(0, 2, 3, 1)), dim=-1)
        parts = F.normalize(self.project(neighbours.prototypes), dim=-1)
        similarity = (
            torch.einsum("bhwd,bkcd->bkchw", places, parts) * self.log_appearance_scale.exp()
        )
        shown = torch.cat([neighbours.present, neighbours.exists[..., None]], dim=-1)
        similarity = similarity.masked_fill(~shown[..., None, None], _FAR)
        similarity = similarity + attention[..., None, None, None]
        return similarity.logsumexp(1).softmax(1)[:, :-1]
