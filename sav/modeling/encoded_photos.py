"""Photos behind the image encoder: what all components of the model work on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sav.gallery.photos import Photo
from sav.modeling.embedding import EMBEDDING
from sav.modeling.views import ViewQueries


@dataclass
class EncodedPhotos:
    """B photos behind the image encoder.

    Attributes:
        maps: the encoder's output.
        views: of each photo, in whose classes it is annotated and answered.
        supervised: (B, C) bool, the parts that training may learn from the photo.
        photos: where they come from; None where nothing is known.
    """

    maps: dict[str, torch.Tensor]
    views: list[ViewQueries]
    supervised: torch.Tensor
    photos: list[Photo | None]

    def select(self, rows: torch.Tensor) -> EncodedPhotos:
        """Some of the photos, an index (R,)."""
        chosen = rows.tolist()
        return EncodedPhotos(
            {name: value[rows] for name, value in self.maps.items()},
            [self.views[row] for row in chosen],
            self.supervised[rows],
            [self.photos[row] for row in chosen],
        )

    @property
    def embedding(self) -> torch.Tensor:
        """(B, 256, h, w)."""
        return self.maps[EMBEDDING]
