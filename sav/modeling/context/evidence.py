"""Evidence: what the exemplars found for a photo say about each part, and where."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from sav.gallery.exemplars import Neighbours
from sav.modeling.context.frame import lay_over
from sav.modeling.context.vehicles import PredictedVehicles

_APPEARANCE_DIM = 64
_FAR = -1e4


@dataclass
class Evidence:
    """Evidence for C classes in B photos, from k neighbours of each of their vehicles.

    Attributes:
        layout: (B, C, g, g) share of each part that the neighbours have at each place, when their
            boxes are laid over the vehicle's.
        error: (B, C, g, g) likewise, the annotated share minus the predicted one: what the model
            misses (or, below 0, invents) in the neighbours, in [-1, 1].
        appearance: (B, C, g, g) probability that a place shows the part, by the similarity of its
            feature to the prototypes of the neighbours' parts and surroundings.
        visibility: (B, C) share of the neighbours that show the part, among those that know it.
        similarity: (B,) of the nearest neighbour; 0 without any.
        known: (B, C) bool, whether there is any neighbour whose annotations can speak of the class.
            For other classes all else is 0.
    """

    layout: torch.Tensor
    error: torch.Tensor
    appearance: torch.Tensor
    visibility: torch.Tensor
    similarity: torch.Tensor
    known: torch.Tensor

    def merge(self, photo: torch.Tensor, count: int) -> Evidence:
        """That of all vehicles of a photo, where this is of V vehicles.

        Args:
            photo: (V,) int64 index of each one's photo.
            count: of photos; each has a vehicle.
        """
        # Errors have both signs, and boxes of vehicles hardly overlap.
        error = self.error.new_zeros(count, *self.error.shape[1:])
        return Evidence(
            layout=_greatest(self.layout, photo, count),
            error=error.index_add(0, photo, self.error),
            appearance=_greatest(self.appearance, photo, count),
            visibility=_greatest(self.visibility, photo, count),
            similarity=_greatest(self.similarity, photo, count),
            known=_greatest(self.known.float(), photo, count) > 0,
        )


@dataclass
class Retrieved:
    """What the gallery has for B photos.

    Attributes:
        vehicles: V that are predicted in the photos.
        neighbours: k of each vehicle.
        evidence: what they say of the photos.
    """

    vehicles: PredictedVehicles
    neighbours: Neighbours
    evidence: Evidence


class EvidenceEncoder(nn.Module):
    """Attends over a vehicle's neighbours, the more to those that are more similar.

    Args:
        dim: width of embedding and prototypes.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, _APPEARANCE_DIM))
        self.log_appearance_scale = nn.Parameter(torch.tensor(2.0))
        self.log_similarity_scale = nn.Parameter(torch.tensor(3.0))

    def forward(
        self,
        neighbours: Neighbours,
        embedding: torch.Tensor,
        vehicles: PredictedVehicles,
        size: int,
    ) -> Evidence:
        """Weigh the neighbours, and lay them over the photos.

        Args:
            neighbours: of V vehicles.
            embedding: (B, dim, h, w).
            vehicles: of the photos.
            size: g.
        """
        attention = neighbours.similarity * self.log_similarity_scale.exp()
        attention = attention.masked_fill(~neighbours.exists, _FAR).log_softmax(1)
        weight = attention.exp()[..., None] * neighbours.known  # (V, k, C)
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-6)
        layouts = torch.einsum("bkc,bkcij->bcij", weight, neighbours.layouts)
        predicted = torch.einsum("bkc,bkcij->bcij", weight, neighbours.predicted_layouts)
        appearance = self._appearance(neighbours, embedding[vehicles.photo], attention)
        appearance = F.interpolate(
            appearance, size=(size, size), mode="bilinear", align_corners=False
        )
        known = neighbours.known.any(1)
        evidence = Evidence(
            layout=lay_over(layouts, vehicles.boxes, size),
            error=lay_over(layouts - predicted, vehicles.boxes, size),
            appearance=appearance * known[..., None, None],
            visibility=torch.einsum("bkc,bkc->bc", weight, neighbours.present.float()),
            similarity=neighbours.similarity.amax(1) * neighbours.exists.any(1),
            known=known,
        )
        return evidence.merge(vehicles.photo, embedding.shape[0])

    def _appearance(
        self, neighbours: Neighbours, embedding: torch.Tensor, attention: torch.Tensor
    ) -> torch.Tensor:
        """(V, C, h, w), see Evidence; ``attention`` (V, k) is logarithmic.

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


def _greatest(values: torch.Tensor, photo: torch.Tensor, count: int) -> torch.Tensor:
    """(count, ...) the greatest of each photo's values (V, ...)."""
    index = photo.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
    merged = values.new_full((count, *values.shape[1:]), -1.0)  # nothing is less
    return merged.scatter_reduce(0, index, values, "amax")
