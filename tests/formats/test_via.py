"""VIA's JSON, by its documented format: versions 1 and 2, projects and exported annotations."""

import json
import math

import pytest

from sav.formats.registry import detect_format
from tests.formats.tools import DATA, box, oval, overlap, photo, read_all

SQUARE = {"name": "polygon", "all_points_x": [8, 24, 24, 8], "all_points_y": [8, 8, 24, 24]}
LABEL = {"label": "hood"}


@pytest.fixture
def read(tmp_path):
    def read(*regions, **record):
        folder = photo(tmp_path)
        drawn = [{"shape_attributes": s, "region_attributes": a} for s, a in regions]
        record = {"filename": "car.jpg", "size": 7, "regions": drawn, **record}
        (folder / "via.json").write_text(json.dumps({"car.jpg7": record}))
        parts, problems = read_all("via", folder)
        return parts.get("car.jpg"), problems

    return read


def test_each_kind_of_shape(read):
    parts, problems = read(
        (SQUARE, LABEL),
        ({"name": "rect", "x": 30, "y": 10, "width": 20, "height": 10}, {"class": "door"}),
        ({"name": "circle", "cx": 20, "cy": 20, "r": 12.5}, {"name": "wheel"}),
        (
            {"name": "ellipse", "cx": 32, "cy": 24, "rx": 20, "ry": 8, "theta": math.pi / 6},
            {"part": "lamp"},
        ),
    )
    assert not problems
    masks = {part.label: part.mask for part in parts}
    assert (masks["hood"] == box(8, 8, 24, 24)).all()
    assert (masks["door"] == box(30, 10, 50, 20)).all()
    assert overlap(masks["wheel"], oval(20, 20, 12.5, 12.5)) > 0.97
    assert overlap(masks["lamp"], oval(32, 24, 20, 8, degrees=30)) > 0.97


def test_regions_of_version_1_are_an_object(read):
    regions = {"0": {"shape_attributes": SQUARE, "region_attributes": LABEL}}
    (part,), problems = read(regions=regions)
    assert (part.label, part.area, problems) == ("hood", 256, [])


def test_labels_may_be_ticked(read):
    (part,), problems = read((SQUARE, {"type": {"hood": True, "door": False}}))
    assert (part.label, problems) == ("hood", [])
    parts, problems = read((SQUARE, {"type": {"hood": True, "door": True}}))
    assert parts is None
    assert "it has no label" in problems[0]


def test_vehicles_instances_and_scores_are_region_attributes(read):
    said = {"part": "hood", "vehicle": "2", "instance": "1", "score": "0.25"}
    other = {"name": "rect", "x": 40, "y": 8, "width": 10, "height": 10}
    (part,), problems = read((SQUARE, said), (other, said))
    assert not problems
    assert (part.vehicle_id, part.score, part.area) == (2, 0.25, 356)


@pytest.mark.parametrize(
    ("shape", "said", "reason"),
    [
        (
            {"name": "polyline", "all_points_x": [1], "all_points_y": [1]},
            LABEL,
            "'polyline' has no",
        ),
        ({"name": "point", "cx": 1, "cy": 1}, LABEL, "'point' has no area"),
        ({"name": ["rect"]}, LABEL, "cannot be read"),
        ([], LABEL, "'None' has no area"),
        ({**SQUARE, "all_points_x": [1, 2]}, LABEL, "2 x, but 4 y"),
        ({**SQUARE, "all_points_x": 3}, LABEL, "cannot be read"),
        ({"name": "polygon"}, LABEL, "it has no 'all_points_x'"),
        ({**SQUARE, "all_points_x": [1, 9, 10**400, 1]}, LABEL, "is not a number"),
        ({**SQUARE, "all_points_x": [1, None, 9, 1]}, LABEL, "'None' is not a number"),
        ({"name": "rect", "x": 1, "y": 1, "width": 5}, LABEL, "height 'None' is not a number"),
        ({"name": "circle", "cx": 9, "cy": 9, "r": 0}, LABEL, "radius is not above 0"),
        (SQUARE, {}, "it has no label"),
        (SQUARE, None, "it has no label"),
        (SQUARE, {"label": 7}, "a label that is no text"),
        (SQUARE, {"part": "a", "quality": "b"}, "which of its attributes is the label"),
        (SQUARE, {"label": "a", "vehicle": "left"}, "vehicle 'left' is not a whole number"),
    ],
)
def test_a_bad_region_is_a_problem_and_the_others_stay(read, shape, said, reason):
    parts, problems = read((shape, said), (SQUARE, LABEL))
    assert [part.label for part in parts] == ["hood"]
    assert len(problems) == 1
    assert reason in problems[0]


@pytest.mark.parametrize("regions", [None, 3, "x"])
def test_a_record_without_regions_is_a_problem(read, regions):
    parts, problems = read(regions=regions)
    assert parts is None
    assert "it has no list 'regions'" in problems[0]


@pytest.mark.parametrize("bad", [{"filename": 3}, {}, "x"])
def test_a_record_without_a_photo_is_a_problem_and_the_others_stay(tmp_path, bad):
    good = {"filename": "car.jpg", "regions": []}
    (photo(tmp_path) / "via.json").write_text(json.dumps({"a": good, "b": bad}))
    parts, problems = read_all("via", tmp_path)
    assert parts == {"car.jpg": []}
    assert "record 'b': it names no photo" in problems[0]


def test_a_project_and_its_exports_are_not_read_twice(tmp_path):
    record = {"car.jpg7": {"filename": "car.jpg", "regions": []}}
    folder = photo(tmp_path)
    (folder / "export.json").write_text(json.dumps(record))
    (folder / "project.json").write_text(json.dumps({"_via_img_metadata": record}))
    parts, problems = read_all("via", folder)
    assert not parts
    assert "2 records name it" in problems[0]
    assert "export.json and" in problems[0]


@pytest.mark.parametrize("name", ["via1_export.json", "via2_project.json"])
def test_files_as_via_writes_them(tmp_path, name):
    folder = photo(tmp_path)
    file = DATA / "via" / name
    assert detect_format(file).name == "via"
    parts, problems = read_all("via", file, folder)
    assert not problems
    assert [(part.label, part.area) for part in parts["car.jpg"]] == [("hood", 256), ("door", 200)]


def test_a_file_that_is_cut_off_is_a_problem_beside_others(tmp_path):
    for name in ("a", "b"):
        photo(tmp_path, f"{name}.jpg")
        shape = {"name": "rect", "x": 4, "y": 4, "width": 8, "height": 8}
        region = {"shape_attributes": shape, "region_attributes": {"label": "door"}}
        record = {"filename": f"{name}.jpg", "regions": [region]}
        (tmp_path / f"{name}.json").write_text(json.dumps({"no record": None, name: record}))
    parts, _ = read_all("via", tmp_path)
    assert set(parts) == {"a.jpg", "b.jpg"}
    (tmp_path / "b.json").write_text((tmp_path / "b.json").read_text()[:-9])
    parts, problems = read_all("via", tmp_path)
    assert set(parts) == {"a.jpg"}
    assert any("b.json: not valid JSON" in problem for problem in problems)
