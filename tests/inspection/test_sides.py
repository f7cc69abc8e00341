"""The side that a vehicle is seen from, against the camera of renderings."""

import numpy as np
import pytest

from sav.inspection.sides import AZIMUTHS, Sides
from sav.ontology import load_ontology
from sav.synthetic import render_scene
from tests.inspection.cars import FRONT, LEFT, VEHICLE

REAR = {"trunk": (0, 0, 80, 40), "back_bumper": (0, 0, 80, 15)}


def side_of(boxes, ontology=VEHICLE):
    rows = boxes.items() if isinstance(boxes, dict) else boxes
    areas = {name: (x1 - x0) * (y1 - y0) for name, (x0, y0, x1, y1) in rows}
    return Sides(ontology).seen([ontology.class_id(name) for name in areas], list(areas.values()))


def mirrored(boxes):
    names = VEHICLE.class_names
    return {names[VEHICLE.mirror_ids[VEHICLE.class_id(n)]]: box for n, box in boxes.items()}


def test_parts_face_the_sides_that_the_graph_says():
    sides = dict(zip(VEHICLE.class_names, Sides(VEHICLE).of_class, strict=True))
    assert sides["left_head_light"] == ("front", "left")
    assert sides["right_back_door"] == ("right",)
    assert sides["tailgate"] == ("rear",)
    assert sides["roof"] == ()
    seg = load_ontology("vehicleseg10k")
    # Either end may have it.
    assert Sides(seg).of_class[seg.class_id("Plate")] == ()


def test_a_class_of_a_view_lies_where_all_its_parts_do():
    """The bed of a pickup belongs to DSMLR's trunk, and is seen from the side, too."""
    dsmlr = load_ontology("dsmlr")
    sides = dict(zip(dsmlr.class_names, Sides(dsmlr).of_class, strict=True))
    assert sides["trunk"] == ()
    assert sides["tailgate"] == ("rear",)
    assert sides["front_left_light"] == ("front", "left")


def test_sides_and_corners():
    assert side_of(LEFT).name == "left"
    assert side_of(mirrored(LEFT)).name == "right"
    assert side_of(FRONT).name == "front"
    assert side_of(FRONT | LEFT).name == "front left"
    assert side_of(REAR | mirrored(LEFT)).name == "rear right"


def test_evidence_is_shares_of_area():
    seen = side_of(
        {"hood": (0, 0, 30, 10), "left_front_door": (0, 0, 8, 10), "left_mirror": (0, 0, 2, 10)}
    )
    assert seen.evidence == {"front": 0.75, "rear": 0, "left": 0.25, "right": 0}
    assert seen.sides == {"front", "left"}


@pytest.mark.parametrize(
    "boxes",
    [
        {},
        {"roof": (0, 0, 30, 30)},  # says nothing
        {"left_back_door": (0, 0, 40, 20), "right_back_door": (0, 0, 40, 20)},
        {"hood": (0, 0, 40, 20), "tailgate": (0, 0, 30, 20)},
    ],
)
def test_the_side_is_unknown_where_parts_say_nothing_or_contradict(boxes):
    assert side_of(boxes).name == "unknown"
    assert not side_of(boxes).sides


def test_a_corner_is_not_named_on_the_word_of_one_part():
    """The shipped model takes the side of a pickup's bed for its gate."""
    assert side_of(LEFT | {"bed_gate": (0, 0, 60, 40)}).name == "left"
    gate = {"bed_gate": (0, 0, 60, 40), "left_tail_light": (0, 0, 20, 20)}
    assert side_of(LEFT | gate).name == "rear left"
    # Of a vocabulary that knows one part there, it is enough.
    seg = load_ontology("vehicleseg10k")
    boxes = {"Left front door": (0, 0, 40, 20), "Front window": (0, 0, 20, 20)}
    assert side_of(boxes, seg).name == "front left"


def test_both_mirrors_do_not_hide_the_front():
    mirrors = {"left_mirror": (0, 0, 10, 10), "right_mirror": (0, 0, 10, 10)}
    assert side_of(FRONT | mirrors).name == "front"


def test_a_part_of_the_wrong_side_changes_little():
    assert side_of(LEFT | {"right_back_wheel": (0, 0, 20, 20)}).name == "left"


@pytest.mark.parametrize(("side", "azimuth"), AZIMUTHS.items())
def test_renderings_are_seen_from_where_the_camera_stands(side, azimuth):
    for seed in range(3):
        scene = render_scene(np.random.default_rng(seed), 128, azimuth=float(azimuth))
        areas = np.bincount(scene.part_map[scene.vehicle_map == 1], minlength=39)[1:]
        seen = Sides(VEHICLE).seen(range(len(VEHICLE)), areas.tolist()).name
        assert set(side.split()) <= set(seen.split()), seen


def test_the_front_is_on_the_left_of_a_photo_that_shows_the_left_side():
    names = VEHICLE.class_names
    at = dict(zip(names, Sides(VEHICLE).places("left").tolist(), strict=True))
    assert at["left_head_light"][0] < at["left_front_door"][0] < at["left_tail_light"][0]
    assert at["roof"][1] < at["left_front_door"][1] < at["left_front_wheel"][1]
    at = dict(zip(names, Sides(VEHICLE).places("front").tolist(), strict=True))
    assert at["right_head_light"][0] < at["grille"][0] < at["left_head_light"][0]
