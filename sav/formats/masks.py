"""Masks, their run-length codes and their outlines as polygons.

Pixel convention: coordinates are continuous, as LabelMe and COCO have them. (0, 0) is the outer
corner of the top left pixel, pixel (row r, column c) is the square [c, c + 1] x [r, r + 1], and it
belongs to a polygon when its centre lies inside.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from sav.errors import SAVError


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """Compress a mask (H, W) of bool or uint8.

    Returns:
        COCO's run-length code {"size": [H, W], "counts": str}, ready for JSON.
    """
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}


def run_length_code(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """Bring the "segmentation" of a COCO annotation into one form, a compressed run-length code.

    Args:
        segmentation: polygons, or a run-length code, compressed or not.
        height: of the image, in pixels.
        width: of the image, in pixels.

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
    """Tight box of a mask (H, W) that is not empty.

    Returns:
        x0, y0, x1, y1 in pixels, the far edges exclusive.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def mask_to_polygons(
    mask: np.ndarray,
    *,
    tolerance: float = 0.75,
    min_hole: int | None = None,
    keep_flat: bool = True,
    origin: tuple[int, int] = (0, 0),
) -> list[np.ndarray]:
    """Trace the outlines of a mask.

    A polygon cannot have a hole. Holes are filled, or the mask is cut in two along a column through
    them. Drawn again, polygons differ from their mask by filled holes and by simplified outlines.

    Args:
        mask: (H, W) bool.
        tolerance: how far, in pixels, a polygon may leave the outline of its mask.
        min_hole: cut at holes whose box has at least so many pixels; None fills all holes.
        keep_flat: keep the full outline of a piece that the tolerance leaves no area of, such as a
            single pixel; else the piece is dropped.
        origin: x, y of the outer corner of the mask's top left pixel.

    Returns:
        For each piece an (n, 2) float64 array of x, y in pixels, n >= 3.
    """
    # OpenCV traces pixel centres. On a doubled mask the trace runs a quarter pixel inside the true
    # outline, around every pixel centre, and a single pixel has four corners.
    doubled = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    mode = cv2.RETR_EXTERNAL if min_hole is None else cv2.RETR_CCOMP
    contours, tree = cv2.findContours(doubled, mode, cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for contour, (*_, parent) in zip(contours, tree[0] if contours else (), strict=True):
        if parent >= 0:
            x, _, width, height = cv2.boundingRect(contour)
            if (width // 2 - 1) * (height // 2 - 1) < min_hole:
                continue
            cut = (x + width // 2) // 2
            options = {"tolerance": tolerance, "min_hole": min_hole, "keep_flat": keep_flat}
            left = mask_to_polygons(mask[:, :cut], origin=origin, **options)
            origin = origin[0] + cut, origin[1]
            return left + mask_to_polygons(mask[:, cut:], origin=origin, **options)
        corners = cv2.approxPolyDP(contour, 2 * tolerance, closed=True)
        if len(corners) < 3 and keep_flat:
            corners = contour
        if len(corners) >= 3:
            polygons.append((corners[:, 0] + 0.5) / 2 + origin)
    return polygons


def clip_polygon(
    polygon: list[float], width: int, height: int, notes: Counter[str], what: str = "polygon"
) -> list[float]:
    """Move the corners that lie outside an image onto its edge.

    Args:
        polygon: x0, y0, x1, y1, ... in pixels, as they were read.
        width: of the image.
        height: of the image.
        notes: counts the polygons that change.
        what: to be named in the error.

    Raises:
        SAVError: a coordinate is not a finite number.
    """
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in polygon):
        raise SAVError(f"a {what} has a coordinate that is not a number")
    limits = (width, height)
    clipped = [min(max(value, 0), limits[i % 2]) for i, value in enumerate(polygon)]
    notes["polygons clipped to the image"] += clipped != polygon
    return clipped
