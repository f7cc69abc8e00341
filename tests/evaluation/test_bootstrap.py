"""Figures of drawn photos are those of a data set that has each photo as often as it is drawn."""

import numpy as np
import pytest

from sav.evaluation.average_precision import average_precision
from sav.evaluation.bootstrap import drawn_mious, drawn_precisions, draws, interval
from sav.evaluation.matching import Sides, match
from sav.evaluation.metrics import mean_iou

CLASSES = ["door", "wheel", "mirror"]


def photo(rng):
    """Random detections and annotations of a photo."""
    found, true = rng.integers(0, 9), rng.integers(0, 6)
    sides = Sides(
        rng.integers(0, 2, found),
        rng.uniform(0, 1, found),
        rng.uniform(10, 20000, found),
        rng.integers(0, 2, true),
        rng.uniform(10, 20000, true),
        np.zeros(true, dtype=bool),
    )
    return match(rng.uniform(0, 1, (found, true)), sides, len(CLASSES))


def test_a_draw_is_a_data_set_with_repeated_photos():
    rng = np.random.default_rng(0)
    photos = [photo(rng) for _ in range(12)]
    confusions = rng.integers(0, 50, (12, 4, 4))
    weights = draws(12, 20, seed=1)
    assert (weights.sum(axis=1) == 12).all()
    precisions = drawn_precisions(photos, len(CLASSES), weights)
    mious = drawn_mious(confusions, weights)
    for draw, precision, miou in zip(weights, precisions, mious, strict=True):
        places = np.repeat(np.arange(12), draw)
        expected = average_precision([photos[place] for place in places], CLASSES)
        assert precision.mean() == pytest.approx(expected["AP"], abs=1e-9)
        assert precision[0] == pytest.approx(expected["AP50"], abs=1e-9)
        assert miou == pytest.approx(mean_iou(confusions[places].sum(axis=0)))


def test_draws_depend_on_the_seed_alone():
    np.testing.assert_array_equal(draws(9, 5, seed=3), draws(9, 5, seed=3))
    assert (draws(9, 5, seed=3) != draws(9, 5, seed=4)).any()


def test_nothing_to_find_has_no_precision():
    empty = Sides(*np.zeros((5, 0), dtype=int), np.zeros(0, dtype=bool))
    photos = [match(np.zeros((0, 0)), empty, len(CLASSES))] * 3
    assert np.isnan(drawn_precisions(photos, len(CLASSES), draws(3, 4, seed=0))).all()


def test_intervals_hold_their_share_of_the_draws():
    low, high = interval(np.array([*range(1001), np.nan]))
    assert (low, high) == pytest.approx((25, 975))
