"""Photos of a gallery, and which of them must not be neighbours of another photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

COPY_DISTANCE = 6
"""Bits by which the hashes of a photo and its copy differ at most.

On 400 photos and 1000 synthetic ones, copies saved as JPEG of quality 20 to 90, or at a quarter of
their size, differed by 5 bits at most, and no two different photos by fewer than 9.
"""

_SIDE = 32
_MIRRORED = np.packbits(np.tile(np.arange(8) % 2 == 0, 8)).view(np.uint64)[0]
_MIN_ENERGY = 1.0  # grey levels; photos have more than 10


@dataclass(frozen=True)
class Photo:
    """Where an exemplar comes from.

    Attributes:
        id: unique over all data sets.
        group: the same for all photos of one vehicle, such as the frames of a video; None where
            nothing is known.
        hash: see :func:`photo_hash`.
        file: path of the image.
    """

    id: str
    group: str | None = None
    hash: int | None = None
    file: str | None = None

    @classmethod
    def of(cls, record: dict[str, Any]) -> Photo | None:
        """From a record of a data set or what a mapper made of it; None for one without an id."""
        photo_id = record.get("photo_id")
        if photo_id is None:
            return None
        fields = (record.get(name) for name in ("vehicle_group", "photo_hash", "file_name"))
        return cls(photo_id, *fields)


def photo_hash(image: np.ndarray) -> int | None:
    """Hash what a photo shows, such that copies of it have nearly the same hash.

    The signs of 64 low-frequency coefficients of the cosine transform (the "pHash" of Zauner,
    Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). Purely vertical
    frequencies are left out: sky above road is in every photo. Of a mirrored photo exactly the odd
    horizontal frequencies change their sign.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        64 bits, or None for a photo of one colour, in which there is nothing to compare.
    """
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    waves = cv2.dct(grey)[:8, 1:9]
    if np.abs(waves).mean() < _MIN_ENERGY:
        return None
    return int(np.packbits(waves.ravel() > 0).view(np.uint64)[0])


class PhotoTable:
    """Photos by row, and which rows are excluded as neighbours of another photo."""

    def __init__(self) -> None:
        self._photos: list[Photo] = []
        self._rows: dict[str, int] = {}
        # Numbers of the groups; what belongs to none, and what has no hash, is -1 and not hashed.
        self._group_ids: dict[str, int] = {}
        self._groups = np.zeros(0, dtype=np.int64)
        self._hashes = np.zeros(0, dtype=np.uint64)
        self._hashed = np.zeros(0, dtype=bool)

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, row: int) -> Photo:
        return self._photos[row]

    def __contains__(self, photo: Photo) -> bool:
        return photo.id in self._rows

    @property
    def ids(self) -> list[str]:
        """Ids in row order."""
        return list(self._rows)

    def insert(self, photos: Sequence[Photo]) -> list[int]:
        """Add photos, or replace those whose id is known.

        Args:
            photos: of different ids.

        Returns:
            their rows.
        """
        rows = [self._rows.setdefault(photo.id, len(self._rows)) for photo in photos]
        self._reserve(len(self._rows))
        for row, photo in zip(rows, photos, strict=True):
            self._photos[row : row + 1] = [photo]
            self._groups[row] = self._group_id(photo)
            self._hashes[row] = photo.hash or 0
            self._hashed[row] = photo.hash is not None
        return rows

    def excluded(self, photos: Sequence[Photo | None], rows: np.ndarray) -> np.ndarray:
        """Which rows may not be neighbours of which photos.

        These are the photo itself, the others of its group, and its copies, mirrored ones too,
        whatever their names.

        Args:
            photos: B of them; None allows everything.
            rows: (B, N) int64 rows.

        Returns:
            (B, N) bool.
        """
        known = [photo or Photo("") for photo in photos]
        itself = np.array([[self._rows.get(photo.id, -1)] for photo in known])
        # No row has the number -2.
        group = np.array([[self._group_ids.get(photo.group, -2)] for photo in known])
        hashes = np.array([[photo.hash or 0] for photo in known], dtype=np.uint64)
        hashed = np.array([[photo.hash is not None] for photo in known])
        difference = self._hashes[rows] ^ hashes
        bits = np.minimum(np.bitwise_count(difference), np.bitwise_count(difference ^ _MIRRORED))
        copies = (bits <= COPY_DISTANCE) & self._hashed[rows] & hashed
        return (rows == itself) | (self._groups[rows] == group) | copies

    def columns(self) -> dict[str, list[Any]]:
        """Ids, groups, hashes and files as plain lists, for files."""
        return {
            "photo_ids": self.ids,
            "groups": [photo.group for photo in self._photos],
            "hashes": [photo.hash for photo in self._photos],
            "files": [photo.file for photo in self._photos],
        }

    def _group_id(self, photo: Photo) -> int:
        if photo.group is None:
            return -1
        return self._group_ids.setdefault(photo.group, len(self._group_ids))

    def _reserve(self, size: int) -> None:
        """Grow by doubling, so that filling row by row stays linear."""
        capacity = len(self._groups)
        if size > capacity:
            more = max(size, 2 * capacity) - capacity
            self._groups = np.pad(self._groups, (0, more))
            self._hashes = np.pad(self._hashes, (0, more))
            self._hashed = np.pad(self._hashed, (0, more))


def photos_from_columns(columns: dict[str, list[Any]]) -> list[Photo]:
    """Undo :meth:`PhotoTable.columns`.

    Raises:
        KeyError: a column is missing.
        ValueError: the columns are not equally long.
    """
    names = ("photo_ids", "groups", "hashes", "files")
    return [Photo(*row) for row in zip(*(columns[name] for name in names), strict=True)]
