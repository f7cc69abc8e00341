"""Polygons, run-length codes and binary masks.

Pixel convention: coordinates are continuous, as LabelMe and COCO have them. (0, 0) is the outer
corner of the top left pixel, pixel (row r, column c) is the square [c, c + 1] x [r, r + 1], and it
belongs to a polygon when its centre lies inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from sav.errors import SAVError


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """Compress a mask.

    Args:
        mask: (H, W) bool or uint8.

    Returns:
        COCO's compressed run-length code {"size": [H, W], "counts": str}, ready for JSON.
    """
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}


def run_length_code(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """Bring the "segmentation" of a COCO annotation into one form.

    Args:
        segmentation: polygons, or a run-length code, compressed or not.
        height: rows of the image.
        width: columns of the image.

    Returns:
        a compressed run-length code.

    Raises:
        SAVError: it is neither, or it is a code of another size.
    """
    if isinstance(segmentation, list) and segmentation:
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise SAVError("the segmentation is neither a list of polygons nor a run-length code")
    if list(segmentation["size"]) != [height, width]:
        rows, columns = segmentation["size"]
        raise SAVError(f"the segmentation is {columns}x{rows}, but the image is {width}x{height}")
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return segmentation


def decode_codes(codes: list[dict[str, Any]], height: int, width: int) -> np.ndarray:
    """Expand compressed run-length codes of one size.

    Returns:
        (N, height, width) uint8 masks of 0 and 1. Each is stored column by column, as the codes
        are: turning them round would take longer than expanding them.
    """
    if not codes:
        return np.zeros((0, height, width), dtype=np.uint8)
    return coco_mask.decode(codes).transpose(2, 0, 1)


def mask_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Tight box of a mask that is not empty.

    Args:
        mask: (H, W), non-zero inside.

    Returns:
        x0, y0, x1, y1 in pixels, the far edges exclusive.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
