"""Which detections of a photo are right, as COCO decides it; a few bytes for each are kept.

COCO matches within a class, the best score first: a detection takes the free annotation with the
highest IoU, if that is at least a threshold. One that is crowd, or not of the size looked at, is
taken only where no other is left, and then the detection counts neither as right nor as wrong, as
does an unmatched one of another size. A crowd takes any number of detections.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoUs from which two instances match."""
SIZES = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]])
"""Least and greatest area, in pixels, of all, small, medium and large instances."""
MOST = 100
"""Detections of a class in a photo that count, those with the best scores."""

_SHAPE = len(SIZES), len(THRESHOLDS)
_BITS = math.prod(_SHAPE)
_SIZE, _THRESHOLD = np.ogrid[: _SHAPE[0], : _SHAPE[1]]
_CLOSE = THRESHOLDS.min()
_NONE = -3.0  # below any IoU, and below that of an annotation that need not be found, less 2


class Matches(NamedTuple):
    """What the detections of a photo are worth, by their classes and falling scores.

    Attributes:
        classes: (n,) int16.
        scores: (n,) float64.
        right: bits of (n, sizes, thresholds), see :func:`unpack`: it has an annotation.
        ignored: the same: it counts neither as right nor as wrong.
        truth: (sizes, C) int32, annotations to be found.
    """

    classes: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    ignored: np.ndarray
    truth: np.ndarray


def _pack(flags: np.ndarray) -> np.ndarray:
    return np.packbits(flags.reshape(len(flags), _BITS), axis=1)


def unpack(bits: np.ndarray) -> np.ndarray:
    """Expand the bits of :class:`Matches` to (n, sizes, thresholds) bool."""
    return np.unpackbits(bits, axis=1, count=_BITS).view(bool).reshape(len(bits), *_SHAPE)


class Sides(NamedTuple):
    """Two kinds of instances of a photo to be compared.

    Attributes:
        found_classes: (N,) int64.
        scores: (N,) float64.
        found_areas: (N,) float64 in pixels.
        true_classes: (M,) int64.
        true_areas: (M,) float64 in pixels.
        crowd: (M,) bool.
    """

    found_classes: np.ndarray
    scores: np.ndarray
    found_areas: np.ndarray
    true_classes: np.ndarray
    true_areas: np.ndarray
    crowd: np.ndarray


def match(iou: np.ndarray, sides: Sides, num_classes: int) -> Matches:
    """Match the detections of a photo with its annotations.

    Args:
        iou: (N, M), with a crowd the share of the detection that lies in it.
        sides: N detections and M annotations.
        num_classes: number of classes C.
    """
    order = np.lexsort((-sides.scores, sides.found_classes))
    classes = sides.found_classes[order]
    rank = np.arange(len(order)) - np.searchsorted(classes, classes)
    order, classes, rank = (values[rank < MOST] for values in (order, classes, rank))
    skipped = sides.crowd | _outside(sides.true_areas)
    same = classes[:, None] == sides.true_classes
    right, ignored = _take(np.where(same, iou[order], -1), rank, skipped, sides.crowd)
    # The numbers of thresholds and sizes are small: this broadcasts.
    ignored |= ~right & _outside(sides.found_areas[order]).T[:, :, None]
    to_find = [np.bincount(sides.true_classes[~row], minlength=num_classes) for row in skipped]
    return Matches(
        classes.astype(np.int16),
        sides.scores[order],
        _pack(right),
        _pack(ignored),
        np.array(to_find, dtype=np.int32),
    )


def _outside(areas: np.ndarray) -> np.ndarray:
    """(sizes, n) bool: whether an area is not of a size."""
    return (areas < SIZES[:, :1]) | (areas > SIZES[:, 1:])


def _take(
    iou: np.ndarray, rank: np.ndarray, skipped: np.ndarray, crowd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Let detections take annotations, all those of one rank in their classes at once.

    Args:
        iou: (n, M), negative for another class.
        rank: (n,), 0 for the best of its class.
        skipped: (sizes, M) bool, annotations that need not be found.
        crowd: (M,) bool.

    Returns:
        (n, sizes, thresholds) bool twice: it took one; it took one that need not be found.
    """
    right = np.zeros((len(iou), *_SHAPE), dtype=bool)
    ignored = np.zeros_like(right)
    columns, rows = _nearest(iou)
    at = iou[rows[:, None], columns][:, None, None]
    lesser = 2 * skipped[:, columns].transpose(1, 0, 2)[:, :, None]
    worth = np.where(at >= THRESHOLDS[:, None], at - lesser, _NONE)
    free = np.ones((*_SHAPE, iou.shape[1]), dtype=bool)
    for step in np.unique(rank[rows]):
        now = np.flatnonzero(rank[rows] == step)
        is_free = free[_SIZE[..., None], _THRESHOLD[..., None], columns[now, None, None]]
        value = np.where(is_free, worth[now], _NONE)
        best = value.max(axis=-1)
        taken = best > _NONE
        right[rows[now]], ignored[rows[now]] = taken, taken & (best < 0)
        which, size, threshold = np.nonzero(taken)
        chosen = columns[now[which], value.argmax(axis=-1)[taken]]
        free[size, threshold, chosen] = crowd[chosen]
    return right, ignored


def _nearest(iou: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The annotations close enough to match, of each detection that has any.

    Returns:
        (m, k) int64, the last ones first, as COCO takes the last of equals, filled up with ones
        that are not close; and the detections, (m,) int64.
    """
    close = iou >= _CLOSE
    count = close.sum(axis=1)
    rows = np.flatnonzero(count)
    # Stable, so that those that are close come behind the others, in their order.
    order = np.argsort(close[rows], axis=1, kind="stable")
    return order[:, ::-1][:, : count.max(initial=0)], rows
