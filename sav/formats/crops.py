"""Masks within their own boxes: whole photos of camera size would take most of the time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from sav.formats.masks import run_lengths


class Crop(NamedTuple):
    """The part of a photo in which a mask lies.

    Attributes:
        top: its first row.
        left: its first column.
        mask: (h, w) bool, stored column by column, as codes are.
    """

    top: int
    left: int
    mask: np.ndarray

    def window(self) -> tuple[slice, slice]:
        """Its rows and columns in the photo."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def decode_crop(code: dict[str, Any]) -> Crop:
    """Expand a run-length code within its box alone; without a pixel, h and w are 0."""
    left, top, width, height = map(int, coco_mask.toBbox(code))
    rows = int(code["size"][0])
    ends = np.cumsum(run_lengths(code["counts"])).clip(left * rows, (left + width) * rows)
    lengths = np.diff(ends, prepend=left * rows)
    pixels = np.repeat(np.arange(len(lengths)) % 2 > 0, lengths)
    return Crop(top, left, pixels.reshape(width, rows)[:, top : top + height].T)


def paint_labels(
    codes: Iterable[dict[str, Any]], labels: Iterable[int], height: int, width: int
) -> np.ndarray:
    """Draw masks into a label map, each over those before it.

    Returns:
        (height, width) uint8, 0 where no mask lies; stored column by column.
    """
    label_map = np.zeros((height, width), dtype=np.uint8, order="F")
    for code, label in zip(codes, labels, strict=True):
        crop = decode_crop(code)
        label_map[crop.window()][crop.mask] = label
    return label_map
