"""Precision and recall against pycocotools, and what is undefined."""

import math

import numpy as np
import pytest

from sav.evaluation.average_precision import average_precision
from sav.evaluation.instance_metrics import count_instances, instance_metrics
from sav.evaluation.matching import MOST

from .photos import NAMES, both_sides, coco_evaluation, random_photo

PLACES = {"AP": 0, "AP50": 1, "AP75": 2, "APs": 3, "APm": 4, "APl": 5}
PLACES |= {"AR": 8, "ARs": 9, "ARm": 10, "ARl": 11}


def count(photos):
    return [count_instances(*sides, len(NAMES)) for sides in both_sides(photos)]


def measure(photos):
    return instance_metrics(count(photos), NAMES)


def check_against_coco(photos):
    """Returns the figures of ours."""
    metrics = measure(photos)
    for task in ("bbox", "segm"):
        done = coco_evaluation(photos, task)
        stats = np.where(done.stats > -1, 100 * done.stats, math.nan)
        for name, place in PLACES.items():
            assert metrics[task][name] == pytest.approx(stats[place], abs=1e-6, nan_ok=True)
        for number, name in enumerate(NAMES):
            precision = done.eval["precision"][:, :, number, 0, -1]
            expected = 100 * precision.mean() if precision.min() > -1 else math.nan
            found = metrics[task][f"AP-{name}"]
            assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)
    return metrics


@pytest.mark.parametrize("seed", range(8))
def test_precision_and_recall_are_those_of_pycocotools(seed):
    """Crowds, empty photos, masks without a pixel, equal scores, a class that is never shown."""
    rng = np.random.default_rng(seed)
    most = 30 if seed % 2 else 6
    photos = [random_photo(rng, number, most=most) for number in range(1, 25)]
    metrics = check_against_coco(photos)
    assert 0 < metrics["segm"]["AP"] < 100
    assert math.isnan(metrics["segm"]["AP-lamp"])


def test_detections_beyond_the_limit_do_not_count():
    rng = np.random.default_rng(0)
    record, results = random_photo(rng, 1, most=9)
    while len(results) < 5:
        record, results = random_photo(rng, 1, most=9)
    many = [dict(result, score=rng.random()) for result in results * MOST]
    check_against_coco([(record, many)])


def test_nothing_found_scores_0_and_nothing_annotated_is_undefined():
    rng = np.random.default_rng(1)
    photos = [random_photo(rng, number, crowds=False) for number in range(1, 9)]
    nothing = check_against_coco([(record, []) for record, _ in photos])
    assert nothing["segm"]["AP"] == nothing["segm"]["AR"] == nothing["boundary"]["IoU"] == 0
    assert nothing["calibration"]["recall@0.3"] == 0
    assert math.isnan(nothing["calibration"]["ECE"])
    empty = check_against_coco([({**record, "annotations": []}, r) for record, r in photos])
    assert math.isnan(empty["segm"]["AP"])
    assert math.isnan(empty["boundary"]["AP"])
    assert math.isnan(empty["boundary"]["IoU"])
    assert empty["calibration"]["precision@0.3"] == 0
    assert math.isnan(empty["calibration"]["recall@0.3"])
    for values in instance_metrics([], NAMES).values():
        assert all(math.isnan(value) for value in values.values())


def test_matches_can_be_drawn_again_for_a_bootstrap():
    rng = np.random.default_rng(2)
    photos = [random_photo(rng, number) for number in range(1, 12)]
    drawn = rng.integers(0, len(photos), 20)
    again = [
        ({**photos[i][0], "image_id": n}, [{**r, "image_id": n} for r in photos[i][1]])
        for n, i in enumerate(drawn, 1)
    ]
    kept = [photo.segm for photo in count(photos)]
    found = average_precision([kept[i] for i in drawn], NAMES)
    assert found["AP"] == pytest.approx(100 * coco_evaluation(again, "segm").stats[0], abs=1e-6)


def test_a_photo_is_kept_in_some_bytes_an_instance():
    record, results = random_photo(np.random.default_rng(4), 1, most=30)
    matches = count([(record, results)])[0].segm
    size = sum(array.nbytes for array in matches) - matches.truth.nbytes
    assert size <= 32 * len(results)
