"""A gallery whose neighbours are any vehicles: what retrieval by similarity is compared with."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch

from sav.gallery.exemplars import Neighbours, RetrievalKeys
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery

_MARGIN = 8  # more is drawn than is wanted, as some of it may be excluded


class RandomGallery(Gallery):
    """Gives always the same random vehicles for the same photo."""

    @classmethod
    def of(cls, gallery: Gallery) -> RandomGallery:
        """With the exemplars of another gallery, which is not copied."""
        random = cls(gallery.fingerprint)
        random.photos, random._stored = gallery.photos, gallery._stored
        return random

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
            allowed = drawn[~self.photos.excluded([photo], drawn[None])[0]][:count]
            row[: len(allowed)] = allowed
        found = torch.from_numpy(rows)
        stored = self.exemplars.keys[found.clamp(min=0)]
        similarity = torch.einsum("bd,bkd->bk", keys.keys.float().cpu(), stored)
        similarity = similarity.masked_fill(found < 0, -1.0)
        return self.at(found, similarity, keys.device)
