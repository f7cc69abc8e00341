"""Reports of parts: sides, areas, and what should be seen."""

import json
from pathlib import Path

import fastjsonschema
import numpy as np
import pytest
import torch

import sav
from sav.d2 import Instances
from sav.errors import SAVError
from sav.inspection import report as module
from sav.inspection.priors import Visibility, shipped_visibility
from sav.ontology import load_ontology
from tests.inspection.cars import FRONT, LEFT, SIZE, VEHICLE, instances, without

VALIDATE = fastjsonschema.compile(
    json.loads(Path(module.__file__).with_name("report.schema.json").read_text("utf-8"))
)


def inspected(parts, ontology=VEHICLE, visibility=None):
    """The report of one vehicle, whose JSON keeps to its schema."""
    report = sav.inspect(parts, ontology, visibility)
    VALIDATE(json.loads(json.dumps(report.to_dict(), allow_nan=False)))
    (vehicle,) = report.vehicles
    return vehicle


def test_parts_have_area_share_box_and_score():
    vehicle = inspected(instances(LEFT))
    door = next(part for part in vehicle.parts if part.name == "left_back_door")
    assert (door.area, door.box, door.index) == (1200, (100, 50, 140, 80), 2)
    assert door.score == pytest.approx(0.9)
    assert door.share == pytest.approx(1200 / vehicle.area)
    # Parts lie over one another: the vehicle's area counts each pixel once.
    assert vehicle.area == np.count_nonzero(instances(LEFT).pred_masks.any(0).numpy())
    assert vehicle.parts[0].name == "left_frame"
    assert vehicle.box == (10, 24, 200, 95)


def test_a_part_that_nearly_all_show_is_unseen_with_its_prior():
    vehicle = inspected(instances(without(LEFT, "left_front_wheel")))
    assert vehicle.side.name == "left"
    wheel = next(part for part in vehicle.unseen if part.name == "left_front_wheel")
    assert (wheel.sides, wheel.next_to) == (("left",), ("left_frame",))
    assert 0.8 <= wheel.low <= wheel.share <= 1
    assert wheel.vehicles >= 20
    names = {part.name for part in vehicle.unseen}
    assert not any(name.startswith("right") for name in names)
    assert "left_front_wheel" not in {part.name for part in inspected(instances(LEFT)).unseen}


def test_from_the_front_no_tail_light_is_expected_and_both_headlights_are():
    vehicle = inspected(instances(without(FRONT, "left_head_light")))
    assert vehicle.side.name == "front"
    names = {part.name for part in vehicle.unseen}
    assert "left_head_light" in names
    assert not names & {"left_tail_light", "rear_window", "back_bumper", "trunk", "tailgate"}


def test_what_lies_beyond_the_edge_of_the_photo_is_not_expected():
    back = [n for n, box in LEFT.items() if box[0] >= 100 or n in ("left_frame", "roof")]
    shifted = {n: tuple(np.subtract(LEFT[n], (100, 0, 100, 0)).clip(0).tolist()) for n in back}
    vehicle = inspected(instances(shifted))
    assert (vehicle.side.name, vehicle.cut_off) == ("left", ("left",))
    names = {part.name for part in vehicle.unseen}
    assert not names & {"left_front_door", "left_front_wheel", "left_front_window"}
    moved = {name: (x0 + 100, y0, x1 + 100, y1) for name, (x0, y0, x1, y1) in shifted.items()}
    names = {part.name for part in inspected(instances(moved)).unseen}
    assert names >= {"left_front_door", "left_front_wheel"}


def test_vehicles_are_told_apart_the_largest_first():
    small = instances({"left_front_wheel": (180, 100, 190, 110)}, vehicle=7)
    report = sav.inspect(Instances.cat([small, instances(LEFT, vehicle=3)]), VEHICLE)
    assert [vehicle.vehicle_id for vehicle in report.vehicles] == [3, 7]
    assert report.vehicles[1].not_judged == "the vehicle is less than 64 pixels long"
    assert not report.vehicles[1].unseen


def test_no_vehicle_and_empty_masks():
    report = sav.inspect(instances({}), VEHICLE)
    VALIDATE(report.to_dict())
    assert report.vehicles == ()
    assert (report.height, report.width) == SIZE
    empty = instances({"hood": (5, 5, 5, 9)})
    assert sav.inspect(empty, VEHICLE).vehicles == ()


def test_annotations_have_no_scores():
    parts = instances(LEFT)
    parts.remove("scores")
    assert inspected(parts).parts[0].score is None


def test_other_vocabularies_have_no_priors_unless_they_are_given():
    bicycle = load_ontology(Path(__file__).parents[1] / "ontology" / "bicycle.yaml")
    name = bicycle.class_names[0]
    parts = instances({name: (10, 10, 100, 100)}, bicycle)
    assert "no priors of the vocabulary bicycle" in inspected(parts, bicycle).not_judged
    with pytest.raises(SAVError, match="the priors are of the vocabulary vehicle"):
        sav.inspect(parts, bicycle, shipped_visibility(VEHICLE))


def test_own_counts_replace_the_shipped_ones():
    rows = np.zeros((40, len(VEHICLE)), dtype=bool)
    rows[:, [VEHICLE.class_id(name) for name in (*LEFT, "bed")]] = True
    none = np.zeros((0, len(VEHICLE)), dtype=bool)
    shown = {side: rows if side == "left" else none for side in shipped_visibility(VEHICLE).shown}
    own = Visibility(VEHICLE, "mine", shown)
    (bed,) = inspected(instances(LEFT), visibility=own).unseen
    assert (bed.name, bed.share, bed.vehicles, bed.sides) == ("bed", 1.0, 40, ())
    front = inspected(instances(FRONT), visibility=own)
    assert front.not_judged == "the priors know fewer than 20 vehicles seen from the front"


@pytest.mark.parametrize("name", ["vehicle", "vehicleseg10k", "udapart_car", "dsmlr"])
def test_views_have_priors_too(name):
    ontology = load_ontology(name)
    visibility = shipped_visibility(ontology)
    assert visibility.ontology == ontology
    # The mirror image of a vehicle shows its mirrored parts as often.
    left, right = (visibility.rate(side)[0].share for side in ("front left", "front right"))
    assert np.array_equal(left, right[ontology.mirror_ids])


def test_the_general_class_beside_two_that_have_sides_is_not_expected():
    """carparts_seg has a front door, a left front door and a right one."""
    ontology = load_ontology("carparts_seg")
    boxes = {"back_left_door": (90, 40, 150, 80), "wheel": (30, 75, 50, 95)}
    names = {part.name for part in inspected(instances(boxes, ontology), ontology).unseen}
    assert "front_left_door" in names
    assert not names & {"front_door", "back_door", "object"}


def test_the_photo_is_not_changed_and_any_device_order_does():
    parts = instances(LEFT)
    before = parts.pred_masks.clone()
    sav.inspect(parts[torch.randperm(len(parts))], VEHICLE)
    assert torch.equal(before, parts.pred_masks)
