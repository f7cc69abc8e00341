"""What photos lend to others: the rows of a gallery and what a search finds in them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch.nn import functional as F

from sav.gallery.photos import Photo


@dataclass
class GalleryEntries:
    """What G vehicles lend.

    Attributes:
        descriptors: (G, D) float32, unit length.
        prototypes: (G, C + 1, E) mean feature of each part, and of what surrounds the vehicle.
        layouts: (G, C, m, m) uint8, the annotated share of each part in each cell of the vehicle's
            box, 255 for all of it.
        predicted: (G, C, m, m) uint8, likewise what the model, without neighbours, takes for it.
        present: (G, C) bool, whether the vehicle shows the part; the others are zero where not.
    """

    descriptors: torch.Tensor
    prototypes: torch.Tensor
    layouts: torch.Tensor
    predicted: torch.Tensor
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
        photos: None for a photo that lends nothing, as it shows no part or is not asked to.
        entries: one row for each photo that is not None; None when there is no such row.
    """

    photos: list[Photo | None]
    entries: GalleryEntries | None

    def to_storage(self) -> GalleryViews:
        """See :meth:`GalleryEntries.to_storage`."""
        return GalleryViews(self.photos, self.entries and self.entries.to_storage())


@dataclass
class Queries:
    """With what B photos look for neighbours.

    Attributes:
        descriptors: (B, D) float32, unit length.
        mirrored: (B, D) likewise, of the photos' mirror images.
        mirror_ids: (C,) the class that each class is in the mirror.
    """

    descriptors: torch.Tensor
    mirrored: torch.Tensor
    mirror_ids: torch.Tensor

    @property
    def device(self) -> torch.device:
        """Where they are, and where what is found is wanted."""
        return self.descriptors.device


@dataclass
class Neighbours:
    """Entries of k neighbours of B images.

    Attributes:
        prototypes: (B, k, C + 1, E) float32, see GalleryEntries.
        layouts: (B, k, C, m, m) float32 in [0, 1], likewise.
        predicted: (B, k, C, m, m) float32 in [0, 1], likewise.
        present: (B, k, C) bool.
        similarity: (B, k) to the image, in [-1, 1].
        exists: (B, k) bool, False for neighbours that are not there.
    """

    prototypes: torch.Tensor
    layouts: torch.Tensor
    predicted: torch.Tensor
    present: torch.Tensor
    similarity: torch.Tensor
    exists: torch.Tensor

    def mirrored(self, which: torch.Tensor, mirror_ids: torch.Tensor) -> Neighbours:
        """With the mirror images of some, (B, k) bool, in their places.

        Features have no mirror image: those of the other side's part stand for it.
        """
        which = which.to(self.exists.device)
        parts = F.pad(mirror_ids, (0, 1), value=len(mirror_ids))  # surroundings stay what they are
        flipped = which[..., None, None, None]
        return Neighbours(
            torch.where(which[..., None, None], self.prototypes[:, :, parts], self.prototypes),
            torch.where(flipped, self.layouts[:, :, mirror_ids].flip(-1), self.layouts),
            torch.where(flipped, self.predicted[:, :, mirror_ids].flip(-1), self.predicted),
            torch.where(which[..., None], self.present[:, :, mirror_ids], self.present),
            self.similarity,
            self.exists,
        )

    @classmethod
    def nobody(
        cls, batch: int, classes: int, dim: int, side: int, device: torch.device
    ) -> Neighbours:
        """One neighbour for each of B images, that is not there."""
        return cls(
            prototypes=torch.zeros(batch, 1, classes + 1, dim, device=device),
            layouts=torch.zeros(batch, 1, classes, side, side, device=device),
            predicted=torch.zeros(batch, 1, classes, side, side, device=device),
            present=torch.zeros(batch, 1, classes, dtype=torch.bool, device=device),
            similarity=torch.zeros(batch, 1, device=device),
            exists=torch.zeros(batch, 1, dtype=torch.bool, device=device),
        )
