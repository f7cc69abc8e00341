"""The vehicles of a gallery, and which of them must not be neighbours of a photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sav.gallery.photos import COPY_DISTANCE, MIRRORED, Photo


@dataclass(frozen=True)
class Vehicle:
    """A vehicle in a photo.

    Attributes:
        photo: that shows it.
        number: its vehicle id in the annotations of the photo.
    """

    photo: Photo
    number: int = 0


class VehicleTable:
    """Vehicles by row, and which rows are excluded as neighbours of a photo."""

    def __init__(self) -> None:
        self._vehicles: list[Vehicle] = []
        self._rows: dict[tuple[str, int], int] = {}
        # Numbers of photos and groups; what belongs to no group, and what has no hash, is -1 and
        # not hashed.
        self._photo_ids: dict[str, int] = {}
        self._group_ids: dict[str, int] = {}
        self._photos = np.zeros(0, dtype=np.int64)
        self._groups = np.zeros(0, dtype=np.int64)
        self._hashes = np.zeros(0, dtype=np.uint64)
        self._hashed = np.zeros(0, dtype=bool)

    def __len__(self) -> int:
        return len(self._vehicles)

    def __getitem__(self, row: int) -> Vehicle:
        return self._vehicles[row]

    def __iter__(self) -> Iterator[Vehicle]:
        return iter(self._vehicles)

    def __contains__(self, vehicle: Vehicle) -> bool:
        return (vehicle.photo.id, vehicle.number) in self._rows

    @property
    def photo_ids(self) -> list[str]:
        """The id of each row's photo."""
        return [vehicle.photo.id for vehicle in self._vehicles]

    def insert(self, vehicles: Sequence[Vehicle]) -> list[int]:
        """Add vehicles, or replace those whose photo and number are known.

        Args:
            vehicles: all different.

        Returns:
            their rows.
        """
        keys = [(vehicle.photo.id, vehicle.number) for vehicle in vehicles]
        rows = [self._rows.setdefault(key, len(self._rows)) for key in keys]
        self._reserve(len(self._rows))
        for row, vehicle in zip(rows, vehicles, strict=True):
            photo = vehicle.photo
            self._vehicles[row : row + 1] = [vehicle]
            self._photos[row] = self._photo_ids.setdefault(photo.id, len(self._photo_ids))
            self._groups[row] = self._group_id(photo)
            self._hashes[row] = photo.hash or 0
            self._hashed[row] = photo.hash is not None
        return rows

    def excluded(self, photos: Sequence[Photo | None], rows: np.ndarray) -> np.ndarray:
        """Which rows may not be neighbours of which photos.

        These are the vehicles of the photo itself, of the others of its group, and of its copies,
        mirrored ones too, whatever their names.

        Args:
            photos: B of them; None allows everything.
            rows: (B, N) int64 rows.

        Returns:
            (B, N) bool.
        """
        known = [photo or Photo("") for photo in photos]
        # Nothing has the number -2.
        itself = np.array([[self._photo_ids.get(photo.id, -2)] for photo in known])
        group = np.array([[self._group_ids.get(photo.group, -2)] for photo in known])
        hashes = np.array([[photo.hash or 0] for photo in known], dtype=np.uint64)
        hashed = np.array([[photo.hash is not None] for photo in known])
        difference = self._hashes[rows] ^ hashes
        bits = np.minimum(np.bitwise_count(difference), np.bitwise_count(difference ^ MIRRORED))
        copies = (bits <= COPY_DISTANCE) & self._hashed[rows] & hashed
        return (self._photos[rows] == itself) | (self._groups[rows] == group) | copies

    def columns(self) -> dict[str, list[Any]]:
        """What names the vehicles as plain lists, for files."""
        photos = [vehicle.photo for vehicle in self._vehicles]
        return {
            "photo_ids": self.photo_ids,
            "groups": [photo.group for photo in photos],
            "hashes": [photo.hash for photo in photos],
            "files": [photo.file for photo in photos],
            "vehicle_ids": [vehicle.number for vehicle in self._vehicles],
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
            self._photos = np.pad(self._photos, (0, more))
            self._groups = np.pad(self._groups, (0, more))
            self._hashes = np.pad(self._hashes, (0, more))
            self._hashed = np.pad(self._hashed, (0, more))


def vehicles_from_columns(columns: dict[str, list[Any]]) -> list[Vehicle]:
    """Undo :meth:`VehicleTable.columns`.

    Raises:
        KeyError: a column is missing.
        ValueError: the columns are not equally long.
    """
    names = ("photo_ids", "groups", "hashes", "files", "vehicle_ids")
    rows = zip(*(columns[name] for name in names), strict=True)
    return [Vehicle(Photo(*photo), number) for *photo, number in rows]
