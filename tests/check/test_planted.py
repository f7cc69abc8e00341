"""Each kind of fault, planted into right annotations, is found; right ones give nearly nothing."""

import numpy as np
import pytest

from sav.check.photos import read_data
from sav.check.run import check_data
from sav.errors import SAVError
from tests.check.conftest import ONTOLOGY, PHOTOS

MIRROR = {part.name: part.mirror or part.name for part in ONTOLOGY.classes}


def found(report, kind, annotation):
    """The likeliest finding of a kind that names an annotation."""
    return next(
        (f for f in report.findings if f.kind == kind and annotation["id"] in f.parts), None
    )


def large(annotations, name, least=60):
    return next(a for a in annotations.of(name) if annotations.mask(a).sum() >= least)


def test_right_annotations_give_nearly_nothing(annotations):
    report = annotations.check()
    sure = [f for f in report.findings if f.rank >= 0.3]
    assert len(sure) <= PHOTOS // 20
    assert not [f for f in report.findings if f.kind in ("broken", "twice", "empty", "many")]


def test_all_sides_of_a_vehicle_swapped(annotations):
    door = large(annotations, "front_left_door", 300)
    swapped = []
    for one in annotations.of_image(door["image_id"]):
        name = ONTOLOGY.class_names[one["category_id"] - 1]
        if MIRROR[name] != name:
            annotations.rename(one, MIRROR[name])
            swapped.append(one["id"])
    finding = found(annotations.check(), "sides", door)
    assert set(finding.parts) <= set(swapped)
    assert "front_left_door" in finding.proposed
    assert finding.rank > 0.5


def test_one_door_of_the_wrong_side(annotations):
    both = {a["image_id"] for a in annotations.of("back_left_door")}
    door = next(a for a in annotations.of("front_left_door") if a["image_id"] in both)
    annotations.rename(door, "front_right_door")
    finding = found(annotations.check(), "sides", door)
    assert "front_left_door" in finding.proposed
    assert finding.rank > 0.5


def test_a_part_that_all_similar_vehicles_show_is_missing(annotations):
    whole = next(a for a in annotations.of("hood") if _is_whole(annotations, a["image_id"]))
    image = next(i for i in annotations.contents["images"] if i["id"] == whole["image_id"])
    own = annotations.of_image(image["id"])
    annotations.contents["images"] = [{**image, "id": number} for number in range(40)]
    annotations.contents["annotations"] = [
        {**one, "id": 1000 * number + place, "image_id": number}
        for number in range(40)
        for place, one in enumerate(own)
        if not (number == 7 and one is whole)
    ]
    missing = [f for f in annotations.check().findings if f.kind == "missing"]
    assert [(f.photo.id, f.classes) for f in missing] == [(7, ("hood",))]


def _is_whole(annotations, image_id):
    """Whether an image shows one vehicle, and all of it."""
    own = annotations.of_image(image_id)
    boxes = np.array([one["bbox"] for one in own])
    low, high = boxes[:, :2].min(), (boxes[:, :2] + boxes[:, 2:]).max()
    return low > 3 and high < 125 and len({one["vehicle_id"] for one in own}) == 1


def test_stray_pixels(annotations):
    hood = large(annotations, "hood", 200)
    mask = annotations.mask(hood)
    corner = (slice(0, 2), slice(0, 2)) if not mask[:20, :20].any() else (slice(126, 128),) * 2
    mask[corner] = 1
    annotations.set_mask(hood, mask)
    finding = found(annotations.check(), "stray", hood)
    assert "4 pixels in 1 pieces" in finding.text


def test_empty_tiny_and_flat_masks(annotations):
    empty, tiny, flat = annotations.of("hood")[:3]
    for one, window in (
        (empty, (slice(0), slice(0))),
        (tiny, (slice(60, 63), slice(60, 63))),
        (flat, (slice(60, 62), slice(20, 80))),
    ):
        mask = np.zeros((128, 128), np.uint8)
        mask[window] = 1
        annotations.set_mask(one, mask)
    report = annotations.check()
    assert found(report, "empty", empty)
    assert "9 pixels" in found(report, "tiny", tiny).text
    assert "60 x 2 pixels" in found(report, "flat", flat).text


def test_one_mask_with_two_classes(annotations):
    hood = large(annotations, "hood", 200)
    other = annotations.add(hood)
    annotations.rename(other, "trunk")
    finding = found(annotations.check(), "twice", hood)
    assert finding.classes == ("hood", "trunk")
    assert set(finding.parts) == {hood["id"], other["id"]}


def test_one_part_over_another_one(annotations):
    both = {a["image_id"]: a for a in annotations.of("front_bumper")}
    hood = next(a for a in annotations.of("hood") if a["image_id"] in both)
    bumper = both[hood["image_id"]]
    annotations.set_mask(bumper, annotations.mask(bumper) | annotations.mask(hood))
    finding = found(annotations.check(), "overlap", hood)
    assert "100% of hood are front_bumper" in finding.text


def test_an_overlap_in_every_vehicle_is_a_habit(annotations):
    hoods = {a["image_id"]: a for a in annotations.of("hood")}
    for bumper in annotations.of("front_bumper"):
        if bumper["image_id"] in hoods:
            hood = hoods[bumper["image_id"]]
            annotations.set_mask(bumper, annotations.mask(bumper) | annotations.mask(hood))
    report = annotations.check()
    assert not [f for f in report.findings if f.kind == "overlap" and "hood" in f.classes]
    assert any("hood" in note and "habit" in note for note in report.notes)


def test_two_of_what_a_vehicle_has_once(annotations):
    door = large(annotations, "front_left_door")
    mask = np.zeros((128, 128), np.uint8)
    mask[2:12, 2:12] = 1
    second = annotations.add(door)
    annotations.set_mask(second, mask)
    assert found(annotations.check(), "many", second)


def test_more_instances_than_the_ontology_allows(annotations):
    wheel = annotations.of("wheel")[0]
    for i in range(5):
        mask = np.zeros((128, 128), np.uint8)
        mask[100:110, 20 * i : 20 * i + 10] = 1
        annotations.set_mask(annotations.add(wheel), mask)
    assert "4 at most" in found(annotations.check(), "many", wheel).text


def test_a_part_far_from_its_vehicle(annotations):
    sizes = {i["id"]: annotations.of_image(i["id"]) for i in annotations.contents["images"]}
    own = next(a for a in sizes.values() if len(a) > 4 and all(_near(one) for one in a))
    light = own[0]
    mask = np.zeros((128, 128), np.uint8)
    mask[:6, :6] = 1
    annotations.set_mask(light, mask)
    finding = found(annotations.check(), "outside", light)
    assert finding is not None


def _near(annotation):
    """Whether it leaves the upper left of the photo free."""
    x, y, _, _ = annotation["bbox"]
    return x + y > 70


def test_what_cannot_be_read_is_reported_and_the_rest_checked(annotations):
    first, second, third = annotations.contents["images"][:3]
    annotations.of_image(first["id"])[0]["segmentation"] = "no mask"
    second["file_name"] = "gone.jpg"
    third["width"] += 1
    copied = annotations.add(annotations.of_image(first["id"])[1])
    copied["id"] = annotations.of_image(first["id"])[1]["id"]
    for one in annotations.of_image(third["id"]):
        annotations.remove(one)
    report = annotations.check()
    broken = {f.photo.id: f.text for f in report.findings if f.kind == "broken"}
    assert "neither a list of polygons nor a run-length code" in broken[first["id"]]
    assert "another annotation has this id" in broken[first["id"]]
    assert "no such image" in broken[second["id"]]
    assert "the image is 128x128, its annotations are for 129x128" in broken[third["id"]]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file_name", None),
        ("width", 0),
        ("width", 10**9),  # of which no mask can be drawn
        ("width", True),
        ("height", "128"),
        ("id", 2),
        ("id", [1]),
    ],
)
def test_an_image_record_that_makes_no_sense(annotations, key, value):
    annotations.contents["images"][0][key] = value
    with pytest.raises(SAVError, match=r"planted\.json: "):
        read_data([annotations.write()])


@pytest.mark.parametrize("grouped", [False, True])
def test_a_vehicle_in_two_files(annotations, grouped):
    images = annotations.contents["images"]
    train, valid = images[:4], images[4:8]
    if grouped:
        train[1]["group"] = valid[2]["group"] = "one car"
    else:
        valid[2] = {**train[1], "id": 900}
    files = []
    for name, own in (("train.json", train), ("valid.json", valid)):
        annotations.contents["images"] = own
        kept = {image["id"] for image in own}
        every = annotations.contents["annotations"]
        annotations.contents["annotations"] = [a for a in every if a["image_id"] in kept]
        files.append(annotations.write(name))
        annotations.contents["annotations"] = every
    leaks = [f for f in check_data(read_data(files)).findings if f.kind == "leak"]
    assert [f.photo.id for f in leaks] == [valid[2]["id"]]
    assert ("same vehicle" if grouped else "copy") in leaks[0].text


def test_too_few_vehicles_for_priors(annotations):
    kept = {image["id"] for image in annotations.contents["images"][:5]}
    every = annotations.contents["annotations"]
    annotations.contents["annotations"] = [a for a in every if a["image_id"] in kept]
    annotations.contents["images"] = annotations.contents["images"][:5]
    report = annotations.check()
    assert any("too few" in note for note in report.notes)
    assert not [f for f in report.findings if f.kind in ("sides", "class", "missing", "together")]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"info": {"ontology": ["dsmlr"]}}, "'ontology' that is no text"),
        ({"info": {"ontology": "dsmlr", "image_root": 5}}, "'image_root' that is no text"),
        ({"info": "dsmlr"}, "names no ontology"),
        ({"categories": [{"id": 1, "name": "wheel"}, {"id": 1, "name": "hood"}]}, "category id 1"),
        ({"images": []}, "there is no image|no image is listed"),
    ],
)
def test_a_file_that_makes_no_sense(annotations, change, what):
    annotations.contents.update(change)
    with pytest.raises(SAVError, match=what):
        read_data([annotations.write()])


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("id", [2], "its id is none"),
        ("category_id", [1], "there is no category [1]"),
        ("vehicle_id", [0], "its vehicle [0] is not a whole number"),
        ("segmentation", {"size": [2, 2], "counts": [0, 4]}, "the segmentation is 2x2"),
    ],
)
def test_an_annotation_that_makes_no_sense_is_a_finding(annotations, key, value, what):
    annotations.contents["annotations"][0][key] = value
    findings = annotations.check().findings
    assert what in next(finding.text for finding in findings if finding.kind == "broken")


def test_copies_of_a_mask_are_told_once_each(annotations):
    first = annotations.contents["annotations"][0]
    copies = [annotations.add(first)["id"] for _ in range(4)]
    twice = [finding for finding in annotations.check().findings if finding.kind == "twice"]
    assert sorted(finding.parts for finding in twice) == [(first["id"], one) for one in copies]
