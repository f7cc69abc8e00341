"""Supervisely's projects: what its SDK writes, and bitmaps that grow when they are unpacked."""

import base64
import io
import json
import shutil
import zlib

import numpy as np
import pytest
from PIL import Image

from sav.formats.annotation_format import LabelledPhoto
from sav.formats.reading import Reading
from sav.formats.records import PartInstance
from sav.formats.registry import FORMATS, detect_format
from tests.formats.tools import DATA, SIZE, box, oval, overlap, photo, read_all

SUPERVISELY = FORMATS["supervisely"]
META = {"classes": [{"title": "hood", "shape": "any", "color": "#FF0000"}], "tags": []}


def drawn(kind, exterior, *interior, **fields):
    points = {"exterior": exterior, "interior": list(interior)}
    return {"classTitle": "hood", "geometryType": kind, "points": points, **fields}


def corners(x0, y0, x1, y1):
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


SQUARE = drawn("polygon", corners(8.0, 8.0, 24.25, 24.25))
"""With decimals: continuous coordinates."""


def bitmap(mask, origin=(0, 0), **options):
    sink = io.BytesIO()
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    picture.save(sink, "PNG", **options)
    return packed(sink.getvalue(), origin)


def packed(data, origin=(0, 0)):
    text = base64.b64encode(zlib.compress(data)).decode()
    found = {"origin": list(origin), "data": text}
    return {"classTitle": "hood", "geometryType": "bitmap", "bitmap": found}


@pytest.fixture
def project(tmp_path):
    folder = photo(tmp_path / "cars" / "img").parent
    (folder / "ann").mkdir()
    (tmp_path / "meta.json").write_text(json.dumps(META))
    return folder


@pytest.fixture
def read(project):
    def read(*objects, name="car.jpg.json", reading=None, **record):
        size = {"width": 64, "height": 48}
        contents = {"size": size, "tags": [], "objects": list(objects), **record}
        (project / "ann" / name).write_text(json.dumps(contents))
        parts, problems = read_all("supervisely", project.parent, reading=reading)
        return parts.get("cars/img/car.jpg"), problems

    return read


def test_what_the_sdk_writes(tmp_path):
    shutil.copytree(DATA / "supervisely", tmp_path / "project")
    photo(tmp_path / "project" / "val" / "img")
    assert detect_format(tmp_path).name == "supervisely"
    (entry,) = SUPERVISELY.find(tmp_path, None)
    assert (entry.name, entry.split) == ("project/val/img/car.jpg", "valid")
    parts, problems = read_all("supervisely", tmp_path)
    assert not problems
    wheel, hood, door = parts[entry.name]
    assert (wheel.mask == oval(20, 24, 14, 14) & ~oval(20, 24, 6, 6)).all()
    assert wheel.vehicle_id == 1
    # The SDK counts pixels; in its own drawing the border belongs to both polygon and hole.
    inner, outer = (box(40 + i, 8 + i, 56 - i, 24 - i) for i in (1, 0))
    hole, wider = (box(44 + i, 12 + i, 52 - i, 20 - i) for i in (1, 0))
    assert (hood.mask <= outer & ~hole).all()
    assert (inner & ~wider <= hood.mask).all()
    assert (door.mask == box(36, 30, 56, 40) | box(36, 42, 56, 46)).all()


def test_bound_objects_are_vehicles_if_users_say_so(read):
    objects = [{**SQUARE, "instance": name} for name in ("a", "b", "a", None)]
    parts, _ = read(*objects, reading=Reading(group="vehicle"))
    assert [part.vehicle_id for part in parts] == [0, 1, 0, None]


def test_coordinates_with_decimals_are_continuous(read):
    hole = corners(12.0, 12.0, 16.0, 16.25)
    parts, problems = read(
        drawn("polygon", corners(8.0, 8.0, 24.0, 24.25), hole),
        drawn("rectangle", [[50.5, 20.0], [30.0, 10.0]], classTitle="door"),
    )
    assert not problems
    assert (parts[0].mask == box(8, 8, 24, 24) & ~box(12, 12, 16, 16)).all()
    assert overlap(parts[1].mask, box(30, 10, 50, 20)) > 0.95


def test_several_polygons_of_one_object(read):
    points = [
        {"exterior": corners(2.0, 2.0, 10.0, 10.25), "interior": []},
        {"exterior": corners(20.0, 2.0, 30.0, 10.25)},
    ]
    (part,), problems = read(
        {"classTitle": "hood", "geometryType": "multipolygon", "parts": points}
    )
    assert (part.area, problems) == (8 * 18, [])


def test_vehicles_and_scores_are_tags(read):
    tags = [{"name": "vehicle", "value": 3.0}, {"name": "score", "value": 0.5}, {"name": {}}, 7]
    (part,), problems = read({**SQUARE, "tags": tags})
    assert (part.vehicle_id, part.score, problems) == (3, 0.5, [])


@pytest.mark.parametrize("options", [{}, {"transparency": 0}])
def test_pictures_of_bitmaps_with_and_without_opacity(read, options):
    mask = oval(10, 8, 9, 6, size=(16, 20))
    (part,), problems = read(bitmap(mask, (30, 20), **options))
    assert not problems
    assert (part.mask[20:36, 30:50] == mask).all()
    assert part.area == mask.sum()


def test_bitmaps_are_clipped_as_polygons_are(read):
    (part,), problems = read(bitmap(np.ones((10, 20)), (-5, 43)))
    assert not problems
    assert (part.mask == box(0, 43, 15, 48)).all()


def png_bomb():
    """A picture of 40,000 x 40,000 pixels in a few hundred kilobytes."""
    sink = io.BytesIO()
    Image.new("1", (40_000, 40_000)).save(sink, "PNG")
    return sink.getvalue()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (drawn("line", [[1, 1], [9, 9]]), "'line' has no area"),
        (drawn("point", [[1, 1]]), "'point' has no area"),
        (drawn("polygon", [[1, 1], [9, 9]]), "fewer than 3 points"),
        (drawn("polygon", [[1, 1], [9], [3, 4]]), "cannot be read"),
        (drawn("polygon", [[1, 1], [9, "x"], [3, 4]]), "'x' is not a number"),
        (drawn("polygon", 3), "cannot be read"),
        (drawn("rectangle", [[1, 1]]), "cannot be read"),
        ({"classTitle": "hood", "geometryType": ["polygon"]}, "cannot be read"),
        ({"classTitle": "hood", "geometryType": "polygon"}, "it has no 'points'"),
        ({**SQUARE, "classTitle": None}, "it has no label"),
        ({**SQUARE, "tags": [{"name": "vehicle", "value": "left"}]}, "not a whole number"),
        ("x", "'None' has no area"),
        (bitmap(box(1, 1, 5, 5), (63, 0)), "covers no pixel"),
        (bitmap(np.ones((4, 8)), (-8, 0)), "covers no pixel"),
        (bitmap(np.ones((4, 8)), (10**30, 0)), "far from any photo"),
        (bitmap(np.ones((49, 64))), "64x49, larger than the photo"),
        (packed(b"no picture"), "picture of its mask cannot be read"),
        (packed(bytes(10**8)), "larger than the photo"),
        (packed(png_bomb()), "larger than the photo"),
        ({"classTitle": "hood", "geometryType": "bitmap", "bitmap": {"origin": [0, 0], "data":
            "eJzr"}}, "picture of its mask cannot be read"),
        ({"classTitle": "hood", "geometryType": "bitmap", "bitmap": {"origin": [0, 0], "data":
            "AAAA"}}, "cannot be unpacked"),
    ],
)  # fmt: skip
def test_a_bad_object_is_a_problem_and_the_others_stay(read, bad, reason):
    parts, problems = read(bad, SQUARE)
    assert [part.label for part in parts] == ["hood"]
    assert len(problems) == 1
    assert reason in problems[0]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"objects": None}, "no list 'objects'"),
        ({"size": {"width": 65, "height": 48}}, "drawn on 65x48 pixels"),
    ],
)
def test_bad_records(read, record, reason):
    parts, problems = read(**record)
    assert parts is None
    assert reason in problems[0]


def test_names_of_old_projects(read):
    parts, problems = read(SQUARE, name="car.json")
    assert (len(parts), problems) == (1, [])


def test_a_photo_without_an_annotation_is_listed(read, project):
    photo(project / "img", "bus.jpg")
    _, problems = read(SQUARE)
    assert problems == [f"{project / 'img' / 'bus.jpg'}: the image has no annotation"]


def test_photos_in_folders_are_nested_data_sets(tmp_path):
    folder = photo(tmp_path / "photos" / "a" / "b")
    photo(tmp_path / "photos" / "b")
    parts = [PartInstance.of_mask("hood", box(2, 2, 9, 9), 1)]
    photos = [
        LabelledPhoto(folder / "car.jpg", "a/b/car.jpg", *SIZE, parts, "valid"),
        LabelledPhoto(tmp_path / "photos" / "b" / "car.jpg", "b/car.jpg", *SIZE, [], "valid"),
    ]
    out = tmp_path / "out"
    SUPERVISELY.write(iter(photos), ["hood"], out)
    assert (out / "valid" / "datasets" / "a" / "datasets" / "b" / "ann" / "car.jpg.json").is_file()
    found, problems = read_all("supervisely", out, tmp_path / "photos")
    assert ({name: len(found[name]) for name in found}, problems) == (
        {"a/b/car.jpg": 1, "b/car.jpg": 0},
        [],
    )


@pytest.mark.parametrize("classes", [3, None, [1]])
def test_other_folders_are_no_projects(tmp_path, classes):
    (tmp_path / "meta.json").write_text(json.dumps({"classes": classes}))
    assert not SUPERVISELY.detect(tmp_path)


def test_hidden_files_are_left_out_and_links_followed(read, project, tmp_path):
    read(SQUARE)
    for name in ("ann/._car.jpg.json", "img/._car.jpg", "ann/notes.txt"):
        (project / name).write_bytes(b"\0\5\x16\7")
    found = read(SQUARE)
    assert (len(found[0]), found[1]) == (1, [])
    (tmp_path / "linked").mkdir()
    shutil.copy(tmp_path / "meta.json", tmp_path / "linked")
    (tmp_path / "linked" / "bus").symlink_to(project)
    (parts, problems) = read_all("supervisely", tmp_path / "linked")
    assert (parts.keys(), problems) == ({"bus/img/car.jpg"}, [])


def test_sizes_may_be_texts(read):
    assert len(read(SQUARE, size={"width": "64", "height": "48"})[0]) == 1
    parts, problems = read(SQUARE, size={"width": "64", "height": "49"})
    assert parts is None
    assert "it was drawn on 64x49 pixels, but the image is 64x48" in problems[0]
