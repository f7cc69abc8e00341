"""COCO's average precision and recall, from the matches of photos.

The numbers are those of pycocotools. They need no mask any more, so photos can be matched one by
one, anywhere, and drawn again and again, as a bootstrap does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sav.evaluation.matching import SIZES, THRESHOLDS, Matches, unpack

_RECALLS = np.linspace(0, 1, 101)
_SUFFIXES = ("", "s", "m", "l")


def average_precision(photos: Sequence[Matches], class_names: Sequence[str]) -> dict[str, float]:
    """Precision and recall over a data set, as COCO defines them.

    Args:
        photos: the matches of each; of detections with equal scores the first ones come first.
        class_names: C names.

    Returns:
        In percent "AP", "AP50", "AP75", "APs", "APm", "APl" (small, medium, large), then "AR",
        "ARs", "ARm", "ARl" with at most 100 detections of a class in a photo, then "AP-<class>".
        NaN where the annotations do not define one: a class without any has no AP, and enters no
        mean.
    """
    tables = [_class_tables(photos, number) for number in range(len(class_names))]
    precision, recall = (np.array(table) for table in zip(*tables, strict=True))
    found = {f"AP{s}": _mean(precision[:, i]) for i, s in enumerate(_SUFFIXES)}
    at = {f"AP{100 * THRESHOLDS[i]:.0f}": _mean(precision[:, 0, i]) for i in (0, 5)}
    recalls = {f"AR{s}": _mean(recall[:, i]) for i, s in enumerate(_SUFFIXES)}
    by_class = {
        f"AP-{name}": _mean(table[0]) for name, table in zip(class_names, precision, strict=True)
    }
    return {"AP": found.pop("AP"), **at, **found, **recalls, **by_class}


class ClassMatches(NamedTuple):
    """The detections of one class in all photos, the best score first.

    Attributes:
        photo: (n,) int64 place of each one's photo.
        hits: (n, sizes, thresholds) bool, those that are right.
        misses: the same, those that are wrong; the others count as neither.
        truth: (N, sizes) int64, annotations to be found in each photo.
    """

    photo: np.ndarray
    hits: np.ndarray
    misses: np.ndarray
    truth: np.ndarray


def matches_of_class(photos: Sequence[Matches], number: int) -> ClassMatches:
    """Gather one class; of detections with equal scores the first ones come first."""
    kept = [np.flatnonzero(photo.classes == number) for photo in photos]
    pairs = list(zip(photos, kept, strict=True))
    order = np.argsort(-np.concatenate([[], *(p.scores[k] for p, k in pairs)]), kind="stable")
    none = [np.zeros((0, 5), dtype=np.uint8)]
    right, ignored = (
        unpack(np.concatenate(none + side))[order]
        for side in ([p.right[k] for p, k in pairs], [p.ignored[k] for p, k in pairs])
    )
    owner = np.repeat(np.arange(len(photos)), [len(places) for places in kept])[order]
    truth = np.array([photo.truth[:, number] for photo in photos], dtype=np.int64)
    truth = truth.reshape(len(photos), len(SIZES))
    return ClassMatches(owner, right & ~ignored, ~right & ~ignored, truth)


def _class_tables(photos: Sequence[Matches], number: int) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and greatest recall of a class, each (sizes, thresholds)."""
    found = matches_of_class(photos, number)
    truth = found.truth.sum(axis=0)
    precision, recall = np.full((2, len(SIZES), len(THRESHOLDS)), math.nan)
    for size in np.flatnonzero(truth):
        hits, misses = (side[:, size].cumsum(axis=0) for side in (found.hits, found.misses))
        recall[size] = hits[-1] / truth[size] if len(hits) else 0
        precision[size] = curve_means(hits, misses, truth[size])
    return precision, recall


def curve_means(hits: np.ndarray, misses: np.ndarray, truth: int) -> np.ndarray:
    """Mean over recalls of the best precision from there on; counts are (n, thresholds)."""
    precision = hits / (hits + misses + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    best = np.concatenate([best, np.zeros((1, best.shape[1]))])
    recall = hits / truth
    places = [np.searchsorted(column, _RECALLS, side="left") for column in recall.T]
    return np.array([best[place, i].mean() for i, place in enumerate(places)])


def _mean(values: np.ndarray) -> float:
    """In percent, NaN when nothing is defined."""
    defined = values[~np.isnan(values)]
    return 100 * float(defined.mean()) if defined.size else math.nan
