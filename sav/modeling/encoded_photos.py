"""Photos behind the image encoder: what all components of the model work on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sav.gallery.photos import Photo
from sav.modeling.embedding import EMBEDDING


@dataclass
class EncodedPhotos:
    """B photos behind the image encoder.

    Attributes:
        maps: the encoder's output.
        vocabularies: (B,) index of each photo's vocabulary.
        known: (B, C) bool, the classes of that vocabulary.
        supervised: (B, C) bool, the classes that the photo's annotations supervise.
        photos: where they come from; None where nothing is known.
    """

    maps: dict[str, torch.Tensor]
    vocabularies: torch.Tensor
    known: torch.Tensor
    supervised: torch.Tensor
    photos: list[Photo | None]

    def select(self, rows: torch.Tensor) -> EncodedPhotos:
        """Some of the photos, an index (R,)."""
        return EncodedPhotos(
            {name: value[rows] for name, value in self.maps.items()},
            self.vocabularies[rows],
            self.known[rows],
            self.supervised[rows],
            [self.photos[row] for row in rows.tolist()],
        )

    @property
    def embedding(self) -> torch.Tensor:
        """(B, 256, h, w)."""
        return self.maps[EMBEDDING]
