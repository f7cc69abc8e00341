"""Findings are assigned to parts by their overlap, with clear thresholds."""

import numpy as np
import pytest

from sav.errors import SAVError
from sav.formats.masks import encode_mask
from sav.formats.records import PartInstance
from sav.inspection.assigning import Assigner
from tests.inspection.cars import LEFT, SIZE, VEHICLE, without

ASSIGNER = Assigner(VEHICLE)


def patch(label, box, vehicle=None, score=None):
    mask = np.zeros(SIZE, dtype=np.uint8)
    x0, y0, x1, y1 = box
    mask[y0:y1, x0:x1] = 1
    return PartInstance(label, encode_mask(mask), vehicle, score)


def car(boxes=LEFT, vehicle=0):
    return [patch(name, box, vehicle, 0.9) for name, box in boxes.items()]


def assign(box, parts=None, assigner=ASSIGNER):
    (found,) = assigner([patch("dent", box)], car() if parts is None else parts)
    return found


def test_a_dent_in_a_door():
    dent = assign((65, 55, 75, 65))
    assert (dent.status, dent.covered, dent.vehicle_id, dent.side) == ("assigned", 1, 0, "left")
    # The frame's box lies under the door: a pixel is of the smaller part.
    (door,) = dent.overlaps
    assert dent.part is door
    assert (door.name, door.score, door.share_of_finding) == ("left_front_door", 0.9, 1)
    # Of the door's 1,200 pixels 8 lie under the mirror.
    visible = 40 * 30 - 4 * 2
    assert door.share_of_part == pytest.approx(100 / visible)


def test_a_scratch_over_two_doors_is_ambiguous():
    scratch = assign((85, 60, 120, 62))
    assert (scratch.status, scratch.part) == ("ambiguous", None)
    assert [o.name for o in scratch.in_question] == ["left_back_door", "left_front_door"]
    assert (scratch.vehicle_id, scratch.side) == (0, "left")


def test_one_part_must_hold_twice_as_much_as_any_other():
    assert assign((80, 60, 110, 62)).status == "assigned"  # 20 to 10 columns
    assert assign((81, 60, 110, 62)).status == "ambiguous"
    assert assign((81, 60, 110, 62), assigner=Assigner(VEHICLE, clear=1)).status == "assigned"


def test_what_lies_beside_the_vehicle_has_no_part():
    assert assign((5, 100, 15, 110)).status == "no part"
    beside = assign((0, 60, 13, 70))
    assert (beside.status, beside.vehicle_id, beside.side) == ("no part", None, None)
    assert beside.covered == pytest.approx(3 / 13)
    assert beside.overlaps[0].name == "left_frame"
    assert assign((0, 60, 14, 70)).status == "assigned"  # 4 of 14 are more than a quarter
    assert assign((0, 60, 14, 70), assigner=Assigner(VEHICLE, least=0.3)).status == "no part"


def test_a_finding_spread_over_many_parts_is_ambiguous_and_not_without_part():
    names = ("left_front_window", "left_back_window", "left_front_door", "left_back_door")
    parts = car({name: LEFT[name] for name in names})
    spread = assign((80, 30, 120, 70), parts)
    assert (spread.status, spread.covered) == ("ambiguous", 1)
    assert len(spread.in_question) == 4


def test_parts_of_two_vehicles():
    parts = [*car(without(LEFT, "left_frame")), *car({"right_front_door": (140, 50, 180, 70)}, 4)]
    between = assign((130, 55, 150, 65), parts)
    assert (between.status, between.vehicle_id, between.side) == ("ambiguous", None, None)
    assert assign((150, 55, 160, 65), parts).vehicle_id == 4


def test_without_parts_and_without_findings():
    nothing = assign((10, 10, 20, 20), [])
    assert (nothing.status, nothing.covered, nothing.overlaps) == ("no part", 0, ())
    assert ASSIGNER([], car()) == []


def test_a_part_under_another_one_holds_nothing():
    parts = [*car({"hood": (10, 10, 50, 50)}), *car({"hood": (10, 10, 50, 50)}, 1)]
    assert len(assign((20, 20, 30, 30), parts).overlaps) == 1


def test_vehicles_are_seen_from_their_sides():
    sides = ASSIGNER.seen_sides([*car(), *car({"trunk": (0, 0, 9, 9)}, 1)])
    assert {number: side.name for number, side in sides.items()} == {0: "left", 1: "rear"}


@pytest.mark.parametrize(
    "options", [{"least": 0}, {"least": 1.5}, {"clear": 0.5}, {"clear": float("inf")}]
)
def test_thresholds_that_cannot_be(options):
    with pytest.raises(SAVError, match=r"at (least|most) 1"):
        Assigner(VEHICLE, **options)
