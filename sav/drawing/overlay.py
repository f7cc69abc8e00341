"""Named, coloured masks over a photo.

It aims at parts of a few pixels: outlines lie around a mask instead of on it, the smallest masks
are painted last, and names go where they hide the least of any mask and of one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sav.drawing.labels import Label, write_labels

_OPACITY = 0.45
_MAX_SAMPLES = 20_000
"""Pixels of a mask that are enough to place its name."""


@dataclass(frozen=True)
class _Patch:
    """A mask on the canvas, cut out with a margin for its outline.

    Attributes:
        top: row of the canvas where it starts.
        left: column of the canvas where it starts.
        mask: (h, w) uint8, 0 or 1.
        area: number of pixels set.
        outline: width of the outline in pixels.
    """

    top: int
    left: int
    mask: np.ndarray
    area: int
    outline: int

    def pixels(self) -> np.ndarray:
        """Return row and column on the canvas (n, 2) of pixels spread evenly over the mask."""
        points = np.argwhere(self.mask)[:: max(1, self.area // _MAX_SAMPLES)]
        return points + np.array([self.top, self.left])


def overlay_masks(
    image: np.ndarray,
    masks: np.ndarray,
    names: Sequence[str],
    colors: Sequence[Sequence[int]],
) -> np.ndarray:
    """Draw masks with their names, large ones first so that small ones stay visible.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        masks: (N, h, w) bool of any resolution; what is empty is not drawn, nor its name.
        names: N texts; one that is wider than the image is left out.
        colors: N colours (r, g, b) in 0 to 255.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    canvas = np.array(image, order="C")
    patches = [_cut(mask, canvas) for mask in masks]
    drawn = [i for i, patch in enumerate(patches) if patch.area]
    drawn.sort(key=lambda i: -patches[i].area)
    for i in drawn:
        _paint(canvas, patches[i], colors[i])
    write_labels(
        canvas,
        [
            Label(names[i], patches[i].pixels(), _lighten(colors[i]), patches[i].outline)
            for i in drawn[::-1]
        ],
    )
    return canvas


def _cut(mask: np.ndarray, canvas: np.ndarray) -> _Patch:
    """Bring a mask to the size of the canvas and cut it out."""
    height, width = canvas.shape[:2]
    mask = np.ascontiguousarray(mask, dtype=bool).view(np.uint8)
    if mask.shape != (height, width):
        method = cv2.INTER_AREA if width < mask.shape[1] else cv2.INTER_LINEAR
        share = cv2.resize(255 * mask, (width, height), interpolation=method)
        # What is smaller than a pixel of the canvas keeps the pixels it covers most.
        mask = (share >= np.clip(share.max(), 1, 128)).astype(np.uint8)
    margin = max(1, round(np.sqrt(height * width) / 500))
    x, y, box_width, box_height = cv2.boundingRect(mask)
    left, top = max(x - margin, 0), max(y - margin, 0)
    cut = mask[top : y + box_height + margin, left : x + box_width + margin]
    area = cv2.countNonZero(cut)
    # Thin around a small part, or it hides neighbours.
    outline = int(np.clip(np.sqrt(area) / 10, 1, margin))
    return _Patch(top, left, cut, area, outline)


def _paint(canvas: np.ndarray, patch: _Patch, color: Sequence[int]) -> None:
    height, width = patch.mask.shape
    crop = canvas[patch.top : patch.top + height, patch.left : patch.left + width]
    tint = np.full_like(crop, color)
    tinted = cv2.addWeighted(crop, 1 - _OPACITY, tint, _OPACITY, 0)
    np.copyto(crop, tinted, where=patch.mask[..., None] > 0)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * patch.outline + 1,) * 2)
    crop[cv2.dilate(patch.mask, disk) > patch.mask] = _lighten(color)


def _lighten(color: Sequence[int]) -> tuple[int, ...]:
    """Return the light hue of a colour, for outlines and text."""
    return tuple(round(0.4 * channel + 153) for channel in color)
