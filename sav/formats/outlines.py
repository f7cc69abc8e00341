"""Masks -> polygons that draw them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

from sav.formats.masks import mask_box


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
    if not mask.any():
        return []
    x0, y0, x1, y1 = mask_box(mask)
    mask, origin = mask[y0:y1, x0:x1], (origin[0] + x0, origin[1] + y0)
    # OpenCV traces pixel centres. On a doubled mask the trace runs a quarter pixel inside the true
    # outline, around every pixel centre, and a single pixel has four corners.
    doubled = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    mode = cv2.RETR_EXTERNAL if min_hole is None else cv2.RETR_CCOMP
    contours, tree = cv2.findContours(doubled, mode, cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for contour, (*_, parent) in zip(contours, tree[0], strict=True):
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


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Polygons (n, 2) float64 of a mask (H, W) as formats hold them, cut where it has a hole."""
    return mask_to_polygons(mask, tolerance=0.375, min_hole=1)


def join_polygons(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Make one polygon of several, joined by bridges of no width where they are nearest.

    Drawn, it is what they are: each bridge is crossed twice.

    Args:
        polygons: one or more of (n, 2) float64 x, y.

    Returns:
        (N, 2) float64.
    """
    ring, *others = polygons
    for other in others:
        distances, nearest = cKDTree(ring).query(other)
        start = int(distances.argmin())
        end = int(nearest[start])
        turned = np.roll(other, -start, axis=0)
        ring = np.concatenate([ring[: end + 1], turned, turned[:1], ring[end:]])
    return ring
