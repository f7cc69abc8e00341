"""Polygons: the outlines of masks, and what an image's edges leave of one."""

from __future__ import annotations

from collections import Counter
from functools import partial

import cv2
import numpy as np


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
            trace = partial(
                mask_to_polygons, tolerance=tolerance, min_hole=min_hole, keep_flat=keep_flat
            )
            left = trace(mask[:, :cut], origin=origin)
            return left + trace(mask[:, cut:], origin=(origin[0] + cut, origin[1]))
        corners = cv2.approxPolyDP(contour, 2 * tolerance, closed=True)
        if len(corners) < 3:
            if not keep_flat:
                continue
            corners = contour
        polygons.append((corners[:, 0] + 0.5) / 2 + origin)
    return polygons


def clip_polygon(polygon: list[float], width: int, height: int, notes: Counter[str]) -> list[float]:
    """Move the corners that lie outside an image onto its edge.

    Args:
        polygon: x0, y0, x1, y1, ... in pixels.
        width: of the image.
        height: of the image.
        notes: counts the polygons that change.

    Returns:
        the polygon inside the image.
    """
    limits = (width, height)
    clipped = [min(max(value, 0), limits[i % 2]) for i, value in enumerate(polygon)]
    notes["polygons clipped to the image"] += clipped != polygon
    return clipped
