"""One row of pixels: a wheel is four of them."""

import math

import numpy as np
import pytest
from scipy.special import expit, logit

from sav.errors import SAVError
from sav.evaluation.calibration import STEPS, along, calibration, curves, fit_line, reliability
from sav.evaluation.instance_metrics import count_instances
from sav.evaluation.photo import Truth
from sav.formats.masks import encode_mask

from .photos import detections

WHEEL, DOOR = 0, 1


def part(category, start, **more):
    mask = np.zeros((1, 60), dtype=bool)
    mask[0, start : start + 4] = True
    code = encode_mask(mask)
    return {"category_id": category, "segmentation": code, "bbox": [start, 0, 4, 1], **more}


def matches(truth, found):
    record = {"height": 1, "width": 60, "annotations": truth}
    return count_instances(Truth.of(record), detections(found), 2).segm


def test_summary_by_hand():
    photo = matches(
        [part(WHEEL, 0), part(WHEEL, 10), part(DOOR, 20), part(DOOR, 30)],
        [
            part(WHEEL, 0, score=0.95),  # right
            part(WHEEL, 1, score=0.65),  # the wheel is taken
            part(WHEEL, 11, score=0.62),  # right: 3 of 5 pixels
            part(WHEEL, 20, score=0.35),  # a door
            part(DOOR, 32, score=0.32),  # 2 of 6 pixels
            part(DOOR, 20, score=0.29),  # right, but not shown
        ],
    )
    found = calibration([photo])
    assert found["precision@0.3"] == pytest.approx(100 * 2 / 5)
    assert found["recall@0.3"] == pytest.approx(100 * 2 / 4)
    # By tenths: 0.29 right; 0.35 and 0.32 wrong; 0.65 wrong and 0.62 right; 0.95 right.
    gaps = [1 * (1 - 0.29), 2 * 0.335, 2 * (0.635 - 0.5), 1 * (1 - 0.95)]
    assert found["ECE"] == pytest.approx(100 * sum(gaps) / 6)


def test_curves_by_hand():
    photo = matches(
        [part(WHEEL, 0), part(WHEEL, 10)], [part(WHEEL, 0, score=0.5), part(WHEEL, 30, score=0.2)]
    )
    found = curves([photo])
    at = {round(step, 2): number for number, step in enumerate(STEPS)}
    low, middle, high = at[0.2], at[0.21], at[0.51]
    assert (found.precision[low], found.recall[low], found.f1[low]) == (0.5, 0.5, 0.5)
    assert (found.precision[middle], found.recall[middle]) == (1, 0.5)
    assert found.f1[middle] == pytest.approx(2 / 3)
    assert math.isnan(found.precision[high])
    assert (found.recall[high], found.f1[high]) == (0, 0)


def test_a_threshold_includes_its_own_score():
    photo = matches([part(WHEEL, 0)], [part(WHEEL, 0, score=0.3)])
    assert calibration([photo])["recall@0.3"] == 100


def test_scores_at_the_ends_are_in_the_first_and_the_last_interval():
    photo = matches([part(WHEEL, 0)], [part(WHEEL, 0, score=1.0), part(WHEEL, 9, score=0.0)])
    count, score, precision = reliability([photo])
    assert (count[0], count[-1], count.sum()) == (1, 1, 2)
    assert (score[-1], precision[-1], precision[0]) == (1, 1, 0)


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong():
    truth = [part(WHEEL, 0), part(WHEEL, 10, iscrowd=1)]
    found = [part(WHEEL, 0, score=0.9), part(WHEEL, 10, score=0.8), part(WHEEL, 11, score=0.8)]
    summary = calibration([matches(truth, found)])
    assert summary["precision@0.3"] == summary["recall@0.3"] == 100
    assert summary["ECE"] == pytest.approx(10)


def test_photos_add_up():
    right = matches([part(WHEEL, 0)], [part(WHEEL, 0, score=0.75)])
    wrong = matches([part(WHEEL, 0)], [part(WHEEL, 9, score=0.75)])
    found = calibration([right, wrong, wrong, right])
    assert found == {"ECE": pytest.approx(25), "precision@0.3": 50, "recall@0.3": 50}


def scored(rng, number, line):
    """A photo with detections that are right as often as a line over their logits says."""
    scores = rng.uniform(0.05, 0.9, number)
    right = rng.random(number) < expit(line[0] * logit(scores) + line[1])
    size = 60
    truth = [part(WHEEL, 5 * (i % 12)) for i in range(size // 5)]
    found = [
        part(WHEEL if hit else DOOR, 5 * i, score=score)
        for i, (score, hit) in enumerate(zip(scores, right, strict=True))
    ]
    return matches(truth, found)


def test_the_line_that_makes_scores_probabilities():
    rng = np.random.default_rng(0)
    photos = [scored(rng, 12, (1.4, 0.9)) for _ in range(500)]
    line = fit_line(photos)
    assert line == pytest.approx((1.4, 0.9), abs=0.15)
    assert calibration(photos)["ECE"] > 10
    assert calibration(along(photos, line))["ECE"] < 2


def test_a_line_needs_right_and_wrong_detections():
    right = matches([part(WHEEL, 0)], [part(WHEEL, 0, score=0.75)])
    wrong = matches([part(WHEEL, 0)], [part(WHEEL, 9, score=0.75)])
    for photos in ([right], [wrong], []):
        with pytest.raises(SAVError, match="right and wrong"):
            fit_line(photos)
