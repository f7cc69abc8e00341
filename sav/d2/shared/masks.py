"""Segmentations of every kind as bitmaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util


def polygons_to_bitmask(
    polygons: Sequence[np.ndarray | Sequence[float]], height: int, width: int
) -> np.ndarray:
    """Rasterise the union of polygons.

    Args:
        polygons: each is flat x, y, x, y, ... in pixels.
        height: of the image in pixels.
        width: of the image in pixels.

    Returns:
        bool (height, width).
    """
    if len(polygons) == 0:
        return np.zeros((height, width), dtype=bool)
    union = mask_util.merge(mask_util.frPyObjects(list(polygons), height, width))
    return mask_util.decode(union).astype(bool)


def segmentation_to_bitmask(segmentation: Any, image_size: tuple[int, int]) -> np.ndarray:
    """Rasterise the segmentation of an annotation.

    Args:
        segmentation: polygons, an RLE or a bitmap.
        image_size: height, width in pixels.

    Returns:
        bool (height, width).

    Raises:
        ValueError: for an RLE or a bitmap of another size.
    """
    if isinstance(segmentation, list):
        return polygons_to_bitmask(segmentation, *image_size)
    if isinstance(segmentation, dict):
        segmentation = mask_util.decode(segmentation)
    mask = np.asarray(segmentation, dtype=bool)
    if mask.shape != tuple(image_size):
        raise ValueError(f"a mask of {mask.shape} pixels in an image of {tuple(image_size)}")
    return mask
