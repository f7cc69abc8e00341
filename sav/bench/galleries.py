"""Galleries that tell what the usual one is compared with."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch

from sav.gallery.exemplars import Neighbours, RetrievalKeys
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery

_MARGIN = 8  # more is drawn than is wanted, as some of it may be excluded


class ComparedGallery(Gallery):
    """Has the exemplars of another gallery, and gives others of them as neighbours."""

    @classmethod
    def of(cls, gallery: Gallery) -> ComparedGallery:
        """With the exemplars of another gallery, which is not copied."""
        compared = cls(gallery.fingerprint)
        compared.vehicles, compared._stored = gallery.vehicles, gallery._stored
        return compared


class RandomGallery(ComparedGallery):
    """Gives always the same random vehicles for the same photo."""

    def neighbours(
        self,
        keys: RetrievalKeys,
        count: int,
        exclude: Sequence[Photo | None],
        thinning: torch.Tensor | None = None,
    ) -> Neighbours:
        """Random vehicles; see :meth:`Gallery.neighbours`. Thinning makes no difference."""
        rows = np.full((len(exclude), count), -1, dtype=np.int64)
        for row, photo in zip(rows, exclude, strict=True):
            seed = zlib.crc32(photo.id.encode()) if photo else 0
            drawn = np.random.default_rng(seed).permutation(len(self))[: count + _MARGIN]
            allowed = drawn[~self.vehicles.excluded([photo], drawn[None])[0]][:count]
            row[: len(allowed)] = allowed
        found = torch.from_numpy(rows)
        stored = self.exemplars.keys[found.clamp(min=0)]
        similarity = torch.einsum("bd,bkd->bk", keys.keys.float().cpu(), stored)
        similarity = similarity.masked_fill(found < 0, -1.0)
        return self.at(found, similarity, keys.device)


class PermutedGallery(ComparedGallery):
    """Gives the similar vehicles, with each part under the name of another class."""

    def at(self, rows: torch.Tensor, similarity: torch.Tensor, device: torch.device) -> Neighbours:
        """See :meth:`Gallery.at`."""
        found = super().at(rows, similarity, device)
        prototypes = found.prototypes
        parts = torch.cat([prototypes[:, :, :-1].roll(1, 2), prototypes[:, :, -1:]], dim=2)
        maps = (x.roll(1, 2) for x in (found.layouts, found.predicted_layouts))
        flags = (x.roll(1, 2) for x in (found.present, found.known))
        return Neighbours(parts, *maps, *flags, found.similarity, found.exists)


class OracleGallery(ComparedGallery):
    """Gives a photo's own annotations as a neighbour: no gallery can be better.

    Where this gains little, the fusion is in the way; otherwise retrieval is.
    """

    def neighbours(
        self,
        keys: RetrievalKeys,
        count: int,
        exclude: Sequence[Photo | None],
        thinning: torch.Tensor | None = None,
    ) -> Neighbours:
        """See :meth:`Gallery.neighbours`; nothing is excluded."""
        return super().neighbours(keys, count, [None] * len(exclude), thinning)
