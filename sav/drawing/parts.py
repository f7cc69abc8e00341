"""Pictures of part instances, in the ontology's colours and with their names.

They aim at parts of a few pixels: outlines lie around a mask instead of on it, the smallest masks
are painted last, and names go where they hide the least of any mask and of one another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from sav.drawing.labels import Label, write_labels
from sav.ontology import Ontology

if TYPE_CHECKING:
    from sav.d2 import Instances

CONFIDENT = 0.3
"""Score from which parts are shown: the best F1 of an early model on renderings lies there."""

_OPACITY = 0.45
_MAX_SAMPLES = 20_000
"""Pixels of a mask that are enough to place its name."""


def keep_confident(parts: Instances, score_threshold: float) -> Instances:
    """The instances whose score is at least `score_threshold`."""
    return parts[parts.scores >= score_threshold]


def draw_parts(
    image: np.ndarray,
    parts: Instances,
    ontology: Ontology,
    *,
    min_side: int = 768,
    max_side: int | None = None,
    show_scores: bool = True,
) -> np.ndarray:
    """Draw part masks with their names.

    A class has the same colour in all pictures, so also in all frames of a video.

    Args:
        image: (H, W, 3) uint8 RGB.
        parts: pred_masks (N, H, W) bool and pred_classes (N,); scores (N,) optional.
        ontology: names and colours of the classes.
        min_side: a smaller image is enlarged until its long side has this many pixels, so that
            text stays legible.
        max_side: a larger image is reduced to this; None keeps its size.
        show_scores: write scores, where there are any, behind the names.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    size = drawing_size(image.shape[1], image.shape[0], min_side, max_side)
    classes = parts.pred_classes.tolist()
    labels = [ontology.class_names[c] for c in classes]
    if show_scores and parts.has("scores"):
        scores = parts.scores.tolist()
        labels = [f"{name} {score:.0%}" for name, score in zip(labels, scores, strict=True)]
    colors = [ontology.colors[c] for c in classes]
    return overlay_masks(resize_image(image, size), parts.pred_masks.cpu().numpy(), labels, colors)


def drawing_size(
    width: int, height: int, min_side: int, max_side: int | None = None
) -> tuple[int, int]:
    """Size (width, height) of a drawing whose long side lies between the two sides given."""
    long_side = max(width, height)
    side = min(max(long_side, min_side), max_side or math.inf)
    return max(1, round(width * side / long_side)), max(1, round(height * side / long_side))


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a uint8 image to (width, height) for display."""
    if image.shape[1::-1] == size:
        return image
    shrinks = size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


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
    drawn = [row for row in zip(patches, names, colors, strict=True) if row[0].area]
    drawn.sort(key=lambda row: -row[0].area)
    for patch, _, color in drawn:
        _paint(canvas, patch, color)
    labels = [Label(n, p.pixels(), _lighten(c), p.outline) for p, n, c in reversed(drawn)]
    write_labels(canvas, labels)
    return canvas


class _Patch(NamedTuple):
    """A mask on the canvas, cut out with a margin for its outline.

    Attributes:
        corner: row and column of the canvas where it starts.
        mask: (h, w) uint8, 0 or 1.
        area: number of pixels set.
        outline: width of the outline in pixels.
    """

    corner: tuple[int, int]
    mask: np.ndarray
    area: int
    outline: int

    def pixels(self) -> np.ndarray:
        """Return row and column on the canvas (n, 2) of pixels spread evenly over the mask."""
        return np.argwhere(self.mask)[:: max(1, self.area // _MAX_SAMPLES)] + self.corner


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
    return _Patch((top, left), cut, area, int(np.clip(np.sqrt(area) / 10, 1, margin)))


def _paint(canvas: np.ndarray, patch: _Patch, color: Sequence[int]) -> None:
    (top, left), (height, width) = patch.corner, patch.mask.shape
    crop = canvas[top : top + height, left : left + width]
    tinted = cv2.addWeighted(crop, 1 - _OPACITY, np.full_like(crop, color), _OPACITY, 0)
    np.copyto(crop, tinted, where=patch.mask[..., None] > 0)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * patch.outline + 1,) * 2)
    crop[cv2.dilate(patch.mask, disk) > patch.mask] = _lighten(color)


def _lighten(color: Sequence[int]) -> tuple[int, ...]:
    """Return the light hue of a colour, for outlines and text."""
    return tuple(round(0.4 * channel + 153) for channel in color)
