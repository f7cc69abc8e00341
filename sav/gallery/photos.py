"""Where the vehicles of a gallery come from, and which of them a photo must not retrieve."""

from __future__ import annotations

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
MIRRORED = np.packbits(np.tile(np.arange(8) % 2 == 0, 8)).view(np.uint64)[0]
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
