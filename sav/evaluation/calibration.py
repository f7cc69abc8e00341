"""Whether scores say how often a detection is right, and what comes of showing those above one.

A detection is right where it matches an annotation of its class by an IoU of their masks of at
least 0.5, see :mod:`sav.evaluation.matching`. What matches a crowd alone is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from sav.drawing.parts import CONFIDENT
from sav.errors import SAVError
from sav.evaluation.matching import Matches, unpack

BINS = 10
"""Equal intervals of the score; 1.0 belongs to the last."""

STEPS = np.linspace(0, 1, 101)
"""Thresholds of the curves."""


class Reliability(NamedTuple):
    """Detections by their score.

    Attributes:
        count: (BINS,) int64, detections in each interval.
        score: (BINS,) float64, their mean score; NaN where there are none.
        precision: (BINS,) float64, the share of them that is right.
    """

    count: np.ndarray
    score: np.ndarray
    precision: np.ndarray


class Curves(NamedTuple):
    """What comes of showing detections whose score is at least each of STEPS.

    Attributes:
        precision: (101,) float64 in [0, 1], the share of the shown that is right; NaN where none is
            shown.
        recall: (101,) the share of annotations that is found; NaN where there are none.
        f1: (101,) their harmonic mean; NaN where there is neither annotation nor detection.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def calibration(photos: Sequence[Matches]) -> dict[str, float]:
    """Summary over a data set, all classes together.

    Returns:
        In percent: "ECE", the expected calibration error, that is the mean over detections of the
        distance between mean score and precision of their interval; "precision@0.3" and
        "recall@0.3" of the detections that are shown (CONFIDENT). NaN where not defined.
    """
    count, score, precision = reliability(photos)
    shown = curves(photos, np.array([CONFIDENT]))
    gaps = np.nansum(count * np.abs(precision - score))
    return {
        "ECE": 100 * float(gaps / count.sum()) if count.any() else math.nan,
        f"precision@{CONFIDENT}": 100 * float(shown.precision[0]),
        f"recall@{CONFIDENT}": 100 * float(shown.recall[0]),
    }


def fit_line(photos: Sequence[Matches]) -> tuple[float, float]:
    """The line over the scores' logits that makes them probabilities of being right.

    The likeliest one (Platt, Probabilistic Outputs for Support Vector Machines, 1999). Use photos
    that the model has not learned from.

    Returns:
        Slope and intercept, for MODEL.SAV.TEST.CALIBRATION.

    Raises:
        SAVError: no detection is right, or none is wrong.
    """
    scores, right, _ = _judged(photos)
    if right.all() or not right.any():
        raise SAVError("scores cannot be calibrated: give photos with right and wrong detections")
    logits = _logits(scores)

    def surprise(line: np.ndarray) -> float:
        odds = line[0] * logits + line[1]
        return float(np.mean(np.logaddexp(0, np.where(right, -odds, odds))))

    slope, intercept = minimize(surprise, [1.0, 0.0]).x
    return float(slope), float(intercept)


def along(photos: Sequence[Matches], line: tuple[float, float]) -> list[Matches]:
    """The same detections with the scores that a line gives them."""
    slope, intercept = line
    return [
        photo._replace(scores=expit(slope * _logits(photo.scores) + intercept)) for photo in photos
    ]


def _logits(scores: np.ndarray) -> np.ndarray:
    return logit(np.clip(scores, 1e-6, 1 - 1e-6))


def reliability(photos: Sequence[Matches]) -> Reliability:
    """Precision by intervals of the score."""
    scores, right, _ = _judged(photos)
    bins = np.clip((scores * BINS).astype(int), 0, BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    some = np.where(count, count, math.nan)
    sums = (np.bincount(bins, weights, BINS) for weights in (scores, right))
    return Reliability(count, *(total / some for total in sums))


def curves(photos: Sequence[Matches], steps: np.ndarray = STEPS) -> Curves:
    """Precision, recall and F1 over the threshold."""
    scores, right, truth = _judged(photos)
    order = np.argsort(scores)
    start = np.searchsorted(scores[order], steps, side="left")
    # Of each threshold, how many lie above it, and how many of these are right.
    shown = len(scores) - start
    hits = right.sum() - np.concatenate([[0], np.cumsum(right[order])])[start]
    either = shown + truth
    return Curves(*(_share(*pair) for pair in ((hits, shown), (hits, truth), (2 * hits, either))))


def _share(some: np.ndarray, of: np.ndarray | int) -> np.ndarray:
    of = np.broadcast_to(of, some.shape)
    return np.divide(some, of, out=np.full(some.shape, math.nan), where=of > 0)


def _judged(photos: Sequence[Matches]) -> tuple[np.ndarray, np.ndarray, int]:
    """Scores (n,), whether right (n,) bool, and the number of annotations; crowds aside."""
    right, ignored = (
        np.concatenate([np.zeros(0, bool), *(unpack(bits)[:, 0, 0] for bits in side)])
        for side in ([p.right for p in photos], [p.ignored for p in photos])
    )
    scores = np.concatenate([np.zeros(0), *(photo.scores for photo in photos)])
    truth = sum(int(photo.truth[0].sum()) for photo in photos)
    return scores[~ignored], right[~ignored], truth
