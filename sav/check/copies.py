"""Photos that two annotation files show, or whose vehicle they do: a validation that cheats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sav.check.finding import Finding
from sav.check.photos import Photo
from sav.gallery import photos as gallery
from sav.gallery.vehicles import Vehicle, VehicleTable


def check_copies(photos: Sequence[Photo], hashes: Sequence[int | None]) -> Iterator[Finding]:
    """Compare the photos of each file with those of the files before it.

    Args:
        photos: of several files.
        hashes: of each, see :func:`sav.gallery.photos.photo_hash`.
    """
    known = [
        gallery.Photo("/".join(photo.key), photo.group, hash_)
        for photo, hash_ in zip(photos, hashes, strict=True)
    ]
    table = VehicleTable()
    rows = np.array(table.insert([*map(Vehicle, known)]), dtype=np.int64)
    files = np.array([photo.data for photo in photos])
    for number, photo in enumerate(photos):
        alike = table.excluded([known[number]], rows[None])[0]
        others = np.flatnonzero(alike & (files != photo.data))
        others = others[others < number]
        if len(others):
            first = photos[others[0]]
            same = photo.group is not None and photo.group == first.group
            what = "the same vehicle as" if same else "a copy of"
            more = f", and {len(others) - 1} more" if len(others) > 1 else ""
            text = f"{what} {first.path.name} in {first.data}{more}"
            yield Finding("leak", 0.95, photo, text)
