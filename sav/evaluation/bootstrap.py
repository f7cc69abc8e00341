"""How much figures would change with other photos: metrics of photos that are drawn again.

A bootstrap draws as many photos as there are, with replacement, many times over. Here a draw is how
often each photo is in it, so that no photo is looked at twice. Models are compared on the same
draws: what makes a draw easy is easy for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sav.evaluation.average_precision import ClassMatches, curve_means, matches_of_class
from sav.evaluation.matching import THRESHOLDS, Matches
from sav.evaluation.metrics import mean_iou

_ALL_SIZES = 0


def draws(photos: int, count: int, seed: int) -> np.ndarray:
    """How often each photo is drawn.

    Args:
        photos: N.
        count: of draws R.
        seed: of all of them.

    Returns:
        (R, N) int64, each row of sum N.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(photos, np.full(photos, 1 / photos), size=count)


def drawn_mious(confusions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean IoU over the part classes of each draw.

    Args:
        confusions: (N, C + 1, C + 1) counts of each photo, truth in rows, background first.
        weights: (R, N), see :func:`draws`.

    Returns:
        (R,) float64 in percent, NaN where no part is in a draw's truth.
    """
    totals = weights @ confusions.reshape(len(confusions), -1)
    return np.array([mean_iou(total.reshape(confusions.shape[1:])) for total in totals])


def drawn_precisions(
    photos: Sequence[Matches], num_classes: int, weights: np.ndarray
) -> np.ndarray:
    """COCO's average precision of each draw.

    Args:
        photos: the matches of N photos.
        num_classes: C.
        weights: (R, N), see :func:`draws`.

    Returns:
        (R, T) float64 in percent, for each of the T thresholds of
        :data:`sav.evaluation.matching.THRESHOLDS`; their mean is AP. NaN where no annotation is in
        a draw.
    """
    classes = [matches_of_class(photos, number) for number in range(num_classes)]
    return np.array([_mean([_precision(one, draw) for one in classes]) for draw in weights])


def _precision(found: ClassMatches, draw: np.ndarray) -> np.ndarray | None:
    """(T,) in [0, 1]; None where the class is not in the truth of the draw."""
    truth = int(draw @ found.truth[:, _ALL_SIZES])
    if not truth:
        return None
    times = draw[found.photo][:, None]
    hits, misses = (
        (side[:, _ALL_SIZES] * times).cumsum(axis=0) for side in (found.hits, found.misses)
    )
    return curve_means(hits, misses, truth)


def _mean(values: list[np.ndarray | None]) -> np.ndarray:
    defined = [value for value in values if value is not None]
    return 100 * np.mean(defined, axis=0) if defined else np.full(len(THRESHOLDS), np.nan)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of what the draws gave, NaN left out."""
    outside = 50 * (1 - level)
    low, high = np.nanpercentile(values, [outside, 100 - outside])
    return float(low), float(high)
