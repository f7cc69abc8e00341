"""What photos lend to others: the rows of a gallery and what a search finds in them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from sav.retrieval.photos import Photo


@dataclass
class GalleryEntries:
    """What G vehicles lend.

    Attributes:
        descriptors: (G, D) float32, unit length.
        prototypes: (G, C, E) mean feature of each part.
        geometry: (G, C, 5) centre x, centre y, width, height of each part's box and its area, all
            as shares of the vehicle's box.
        present: (G, C) bool, whether the vehicle shows the part; the others are zero where not.
    """

    descriptors: torch.Tensor
    prototypes: torch.Tensor
    geometry: torch.Tensor
    present: torch.Tensor

    def tensors(self) -> dict[str, torch.Tensor]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def cat(cls, parts: list[GalleryEntries]) -> GalleryEntries:
        """All rows of several, in order."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: torch.cat([getattr(p, name) for p in parts]) for name in names})

    def select(self, rows: torch.Tensor) -> GalleryEntries:
        """The rows of an index (N,) or a mask (G,)."""
        return GalleryEntries(**{name: value[rows] for name, value in self.tensors().items()})

    def to_storage(self) -> GalleryEntries:
        """On the CPU, prototypes in half precision: they are by far the largest part."""
        kept = {name: value.detach().cpu() for name, value in self.tensors().items()}
        return GalleryEntries(**{**kept, "prototypes": kept["prototypes"].half()})


@dataclass
class GalleryViews:
    """What a batch of photos lends.

    Attributes:
        photos: None for a photo that shows no part.
        entries: one row for each photo that is not None; None when there is no such row.
    """

    photos: list[Photo | None]
    entries: GalleryEntries | None

    def to_storage(self) -> GalleryViews:
        """See :meth:`GalleryEntries.to_storage`."""
        return GalleryViews(self.photos, self.entries and self.entries.to_storage())


@dataclass
class Neighbours:
    """Entries of k neighbours of B images: each tensor of GalleryEntries as (B, k, C, ...).

    ``present`` is False everywhere for neighbours that do not exist.
    """

    prototypes: torch.Tensor
    geometry: torch.Tensor
    present: torch.Tensor
