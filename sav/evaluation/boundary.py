"""How sharp masks are: the IoU of their borders (arXiv 2103.16562).

The border of a mask is what lies within 2 % of the photo's diagonal from its outline, inside it.
Only borders of masks that overlap one of their class are made, and each within its own box.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sav.drawing.parts import CONFIDENT
from sav.evaluation.matching import THRESHOLDS
from sav.evaluation.photo import Detections, Truth
from sav.formats.crops import Crop

_WIDTH = 0.02


class Border(NamedTuple):
    """The border of a mask.

    Attributes:
        top: row of the photo in which the box of the mask starts.
        left: its column.
        pixels: (h + 1, w + 1) bool, the border in that box, and a row and a column without it.
        area: number of its pixels.
    """

    top: int
    left: int
    pixels: np.ndarray
    area: int

    @classmethod
    def of(cls, crop: Crop, width: int) -> Border:
        """From a mask with at least one pixel.

        Args:
            crop: the mask.
            width: of the border in pixels.
        """
        side, row = 2 * width + 1, crop.padded.shape[1]
        # A square around an inner pixel lies in the mask; the photo's edge is an outline, too.
        # Pixels lie in one line: what runs over the end of a row meets a column without mask.
        pixels = crop.padded.ravel().copy()
        if min(crop.mask.shape) >= side:
            inner = _all_of(_all_of(crop.padded.ravel(), side, 1), side, row)
            pixels[width * (row + 1) :][: len(inner)] ^= inner
        return cls(
            crop.top,
            crop.left,
            pixels.reshape(crop.padded.shape),
            int(np.count_nonzero(pixels)),
        )

    def iou(self, other: Border) -> float:
        """In [0, 1]."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        ours, theirs = (b.pixels[top - b.top :, left - b.left :] for b in (self, other))
        height, width = np.minimum(ours.shape, theirs.shape)
        shared = np.count_nonzero(ours[:height, :width] & theirs[:height, :width])
        return shared / (self.area + other.area - shared)


def _all_of(pixels: np.ndarray, count: int, step: int) -> np.ndarray:
    """Whether a pixel and the next ones, `count` in all and each a step from the last, are set.

    Args:
        pixels: (n,) bool.
        count: at least 1.
        step: in pixels.

    Returns:
        (n - (count - 1) * step,) bool.
    """
    done = 1
    while done < count:
        more = min(done, count - done)
        pixels = pixels[: -more * step] & pixels[more * step :]
        done += more
    return pixels


def border_ious(truth: Truth, found: Detections, iou: np.ndarray) -> np.ndarray:
    """IoU of the borders of detections and annotations, crowds aside.

    Args:
        truth: M annotations.
        found: N detections.
        iou: (N, M), of their masks.

    Returns:
        (N, M) float64, 0 for a crowd and another class, and where it matters to no metric: a mask
        IoU below 0.5 and a score below CONFIDENT.
    """
    width = max(1, round(_WIDTH * math.hypot(*truth.size)))
    true_border = lru_cache(None)(lambda column: Border.of(truth.masks.crop(column), width))
    found_border = lru_cache(None)(lambda row: Border.of(found.masks.crop(row), width))
    # Others neither match by their borders nor are shown.
    needed = (iou >= THRESHOLDS.min()) | ((iou > 0) & (found.scores[:, None] >= CONFIDENT))
    pairs = needed & (found.classes[:, None] == truth.classes) & ~truth.crowd
    result = np.zeros(iou.shape)
    for row, column in np.argwhere(pairs).tolist():
        result[row, column] = found_border(row).iou(true_border(column))
    return result


def best_border_ious(truth: Truth, found: Detections, borders: np.ndarray) -> np.ndarray:
    """Of each annotation but crowds, the best IoU of its border with one of its class.

    Detections with a score of at least CONFIDENT count; (m,) float64.
    """
    shown = borders[found.shown][:, ~truth.crowd]
    return shown.max(axis=0, initial=0)
