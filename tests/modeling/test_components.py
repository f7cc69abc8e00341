"""Vehicles that lie apart are told apart, even if one query shows the same part of both."""

import pytest
import torch

from sav.modeling.components import shared_vehicles, vehicle_components
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


BOXES = [(200, 100, 350, 275), (0, 50, 75, 200)]
BOTH = (0, 50, 350, 275)


@pytest.mark.parametrize(
    ("hulls", "expected"),
    [
        ({0: BOTH, 2: (360, 0, 400, 40)}, ([0], BOXES)),
        ({1: BOTH, 0: BOTH}, ([1, 0], BOXES)),
        ({0: BOTH, 1: (200, 100, 340, 275)}, ([0], BOXES[1:])),
        ({0: BOTH, 1: BOXES[0], 2: BOXES[1]}, ([0], [])),
        ({0: BOXES[0], 1: BOXES[1]}, ([], [])),
        ({}, ([], [])),
    ],
)
def test_vehicles_that_cover_several_components(hulls, expected):
    assert shared_vehicles(hulls, torch.tensor(BOXES)) == expected
    assert shared_vehicles(hulls, torch.zeros(0, 4, dtype=torch.int64)) == ([], [])
