"""Vehicles that lie apart are told apart, even if one query shows the same part of both."""

import pytest
import torch

from sav.d2 import Instances
from sav.modeling.components import separate, vehicle_components
from sav.modeling.original_frame import Frame

FRAME = Frame(original=(300, 400), resized=(48, 64), canvas=64)  # 12 x 16 of 16 x 16 cells


def masks(*places, parts=4):
    """Each part covers a row of each of the places (left, top, right, bottom), in cells."""
    shown = torch.zeros(parts, 16, 16, dtype=torch.bool)
    for left, top, right, bottom in places:
        for number in range(parts):
            shown[number, top + number : bottom if number == parts - 1 else None, left:right] = True
            shown[number, bottom:, left:right] = False
    return shown


def test_two_vehicles_are_two_boxes_the_larger_first():
    found = vehicle_components(masks((0, 2, 3, 8), (8, 4, 14, 11)), FRAME)
    assert found.dtype == torch.int64
    assert found.tolist() == [[200, 100, 350, 275], [0, 50, 75, 200]]


@pytest.mark.parametrize("right", [3, 10])
def test_one_vehicle_lies_nowhere_apart(right):
    assert vehicle_components(masks((0, 2, right, 8)), FRAME).shape == (0, 4)
    assert vehicle_components(torch.zeros(0, 16, 16, dtype=torch.bool), FRAME).shape == (0, 4)


def test_two_cells_are_no_gap_and_three_are():
    assert len(vehicle_components(masks((0, 2, 4, 8), (6, 2, 12, 8)), FRAME)) == 0
    assert len(vehicle_components(masks((0, 2, 4, 8), (7, 2, 12, 8)), FRAME)) == 2


def test_specks_and_few_parts_are_no_vehicle():
    large, small = (0, 2, 6, 8), (10, 2, 14, 8)
    few = masks(large, small)
    few[2:, :, 10:] = False
    assert len(vehicle_components(few, FRAME)) == 0
    assert len(vehicle_components(masks(large, small), FRAME)) == 2


def test_what_lies_beside_the_photo_does_not_count():
    assert len(vehicle_components(masks((0, 1, 4, 7), (8, 13, 12, 16), parts=3), FRAME)) == 0


def vehicles(*ids):
    found = Instances((300, 400))
    found.vehicle_ids = torch.tensor(ids)
    return found


def test_a_vehicle_that_holds_two_becomes_two():
    parts, boxes = vehicles(0, 0, 2), [(200, 100, 350, 275), (0, 50, 75, 200)]
    hulls = {0: (0, 50, 350, 275), 2: (360, 0, 400, 40)}
    assert separate(parts, hulls, torch.tensor(boxes)) == {0: boxes[0], 3: boxes[1]}
    assert parts.vehicle_ids.tolist() == [0, 0, 2]


def test_vehicles_that_hold_the_same_become_one_first():
    parts, boxes = vehicles(1, 0, 2), [(200, 100, 350, 275), (0, 50, 75, 200)]
    hulls = dict.fromkeys((1, 0, 2), (0, 50, 350, 275))
    assert separate(parts, hulls, torch.tensor(boxes)) == {1: boxes[0], 3: boxes[1]}
    assert parts.vehicle_ids.tolist() == [1, 1, 1]


def test_another_vehicles_home_stays_its_own():
    parts, boxes = vehicles(0, 1), [(200, 100, 350, 275), (0, 50, 75, 200)]
    hulls = {0: (0, 50, 350, 275), 1: (200, 100, 340, 275)}
    assert separate(parts, hulls, torch.tensor(boxes)) == {0: boxes[1]}


def test_nothing_changes_where_each_holds_one():
    parts, boxes = vehicles(0, 1), [(200, 100, 350, 275), (0, 50, 75, 200)]
    hulls = {0: (200, 100, 350, 275), 1: (0, 50, 75, 200)}
    assert separate(parts, hulls, torch.tensor(boxes)) == {}
    assert separate(parts, hulls, torch.zeros(0, 4, dtype=torch.int64)) == {}
    assert parts.vehicle_ids.tolist() == [0, 1]
