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
        prototypes: (G, C + 1, E) mean feature of each part, and of what surrounds the vehicle.
        geometry: (G, C, 5) centre x, centre y, width, height of each part's box and its area, all
            as shares of the vehicle's box.
        present: (G, C) bool, whether the vehicle shows the part; the others are zero where not.
        layouts: (G, C, m, m) uint8, the share of each part in each cell of the vehicle's box, 255
            for all of it.
    """

    descriptors: torch.Tensor
    prototypes: torch.Tensor
    geometry: torch.Tensor
    present: torch.Tensor
    layouts: torch.Tensor

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

    ``exists`` (B, k) is False for neighbours that are not there; these have no part ``present``.
    """

    prototypes: torch.Tensor
    geometry: torch.Tensor
    present: torch.Tensor
    layouts: torch.Tensor
    exists: torch.Tensor

    def hide(self, hidden: torch.Tensor) -> None:
        """Take all neighbours from some of the images, (B,) bool."""
        self.exists = self.exists & ~hidden[:, None]
        self.present = self.present & self.exists[..., None]
