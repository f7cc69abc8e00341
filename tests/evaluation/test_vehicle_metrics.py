"""Hand-computed cases: a photo is one row of pixels, a part is a stretch of it."""

import math

import numpy as np
import pytest

from sav.evaluation.vehicle_metrics import VehicleParts, count_vehicles, vehicle_metrics
from sav.formats.masks import encode_mask

BODY, WHEEL, DOOR = 0, 2, 6
CAR = [(BODY, 0, 0, 10), (WHEEL, 0, 10, 14), (WHEEL, 0, 14, 18)]
"""Class, vehicle, first pixel, end."""


def parts(*rows):
    masks = np.zeros((len(rows), 1, 60), dtype=bool)
    for mask, (_, _, start, end) in zip(masks, rows, strict=True):
        mask[:, start:end] = True
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return VehicleParts.of([encode_mask(mask) for mask in masks], table[:, 0], table[:, 1])


def measure(truth, prediction):
    return vehicle_metrics([count_vehicles(parts(*truth), parts(*prediction))])


def moved(rows, vehicle, pixels=20):
    return [(c, vehicle, start + pixels, end + pixels) for c, _, start, end in rows]


def test_one_vehicle_and_two_score_100():
    for truth in (CAR, CAR + moved(CAR, 1)):
        assert measure(truth, truth) == {"F1": 100, "PQ": 100}


def test_ids_are_names_only():
    prediction = [(c, 5 - 5 * v, start, end) for c, v, start, end in CAR + moved(CAR, 1)]
    assert measure(CAR + moved(CAR, 1), prediction) == {"F1": 100, "PQ": 100}


def test_two_vehicles_taken_for_one():
    truth = CAR + moved(CAR, 1)
    # All 15 pairs are of one predicted vehicle, 3 + 3 of them rightly. The union of both has
    # twice the pixels of either, and an IoU of just 0.5 is no match.
    assert measure(truth, [(c, 0, *span) for c, _, *span in truth]) == {
        "F1": pytest.approx(100 * 2 * 6 / (6 + 15)),
        "PQ": 0,
    }


def test_a_vehicle_taken_for_three():
    apart = [(c, number, *span) for number, (c, _, *span) in enumerate(CAR)]
    # No predicted pair. The body alone has 10 of the car's 18 pixels, and of its two classes one
    # is perfect, the other missing: 1/2 over 1 matched + 2 false / 2.
    assert measure(CAR, apart) == {"F1": 0, "PQ": pytest.approx(100 * 0.5 / 2)}


def test_a_part_in_the_wrong_vehicle():
    truth = CAR + moved(CAR, 1)
    prediction = list(truth)
    prediction[1] = (WHEEL, 1, 10, 14)
    # T = 3 + 3. P = 1 + 6, right are 1 + 3. First vehicle: 14 of 18 pixels, body 1, wheels 1/2.
    # Second: 18 of 22, body 1, wheels 8/12.
    assert measure(truth, prediction) == {
        "F1": pytest.approx(100 * 2 * 4 / (6 + 7)),
        "PQ": pytest.approx(100 * ((1 + 0.5) / 2 + (1 + 8 / 12) / 2) / 2),
    }


def test_a_class_that_one_side_lacks_counts_0():
    # Body 9/10; the wheels are called a door: three classes, of which two have no IoU.
    prediction = [(BODY, 0, 0, 9), (DOOR, 0, 10, 18)]
    assert measure(CAR, prediction)["PQ"] == pytest.approx(100 * 0.9 / 3)
    assert math.isnan(measure(CAR, prediction)["F1"])  # one matched part is no pair


def test_parts_match_from_half_their_union_on():
    wheel = (WHEEL, 0, 10, 14)
    for end, f1 in ((5, 100), (4, math.nan)):
        found = measure([CAR[0], wheel], [(BODY, 0, 0, end), wheel])["F1"]
        assert found == pytest.approx(f1, nan_ok=True)


def test_parts_that_are_not_found_do_not_lower_f1():
    found = measure([*CAR, (DOOR, 0, 40, 50)], CAR)
    assert found["F1"] == 100
    assert found["PQ"] == pytest.approx(100 * 2 / 3)


def test_the_best_part_chooses_first_and_each_is_taken_once():
    truth = [(WHEEL, 0, 0, 10), (WHEEL, 1, 30, 40), (BODY, 0, 10, 20)]
    # Both predictions lie on the first wheel. The better one, of the wrong vehicle, takes it.
    prediction = [(WHEEL, 1, 0, 8), (WHEEL, 0, 0, 10), (BODY, 0, 10, 20)]
    assert measure(truth, prediction)["F1"] == 0
    assert measure(truth, [prediction[1], prediction[0], prediction[2]])["F1"] == 100


def test_vehicles_that_overlap_are_matched_once_by_their_iou():
    # The second of two predicted vehicles fits better, so the first is false.
    prediction = [(BODY, 0, 0, 8), (BODY, 1, 0, 9)]
    assert measure([(BODY, 0, 0, 10)], prediction)["PQ"] == pytest.approx(100 * 0.9 / 1.5)


def test_without_truth_or_prediction():
    for truth, prediction in ((CAR, []), ([], CAR)):
        found = measure(truth, prediction)
        assert math.isnan(found["F1"])
        assert found["PQ"] == 0
    for counts in ([], [count_vehicles(parts(), parts())]):
        assert all(math.isnan(value) for value in vehicle_metrics(counts).values())


def test_parts_without_a_pixel_are_no_parts():
    assert measure([*CAR, (DOOR, 7, 5, 5)], [*CAR, (BODY, 9, 3, 3)]) == {"F1": 100, "PQ": 100}


def test_counts_are_summed_before_they_are_divided():
    easy, hard = (count_vehicles(parts(*CAR), parts(*found)) for found in (CAR, []))
    assert vehicle_metrics([easy, hard, hard])["PQ"] == pytest.approx(100 * 1 / 2)
