"""What comes of LabelMe's records, and of predictions, that are not as they should be."""

import base64
import copy
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from sav.formats.labelme import LABELME
from sav.formats.predictions import PREDICTIONS
from tests.formats.outcomes import outcome

BOX = [[4, 4], [24, 4], [24, 24], [4, 24]]
KEPT, ONE_LOST, LOST = {"a.jpg": 2}, {"a.jpg": 1}, {}


def png(width, height):
    stream = io.BytesIO()
    Image.fromarray(np.ones((height, width), dtype=bool)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def valid():
    box = {"points": BOX, "group_id": None, "shape_type": "polygon", "flags": {}}
    shapes = [{"label": "Wheel", **box}, {"label": "door", **box}]
    names = {"imagePath": "a.jpg", "imageData": None, "imageHeight": 48, "imageWidth": 64}
    return {"version": "5.5.0", "flags": {}, "shapes": shapes, **names}


def record(**fields):
    return lambda contents: contents.update(fields)


def shape(**fields):
    return lambda contents: contents["shapes"][0].update(fields)


def mask(picture, points=((4, 4), (13, 13))):
    return shape(shape_type="mask", mask=picture, points=[list(point) for point in points])


CASES = [
    (record(shapes=None), LOST, "no list 'shapes'"),
    (record(shapes={}), LOST, "no list 'shapes'"),
    (record(shapes=[]), {"a.jpg": 0}, None),
    (record(shapes=[None, None]), LOST, "shape 1: it has no label"),
    (record(shapes=[7]), LOST, "it has no label"),
    (record(shapes=[[]]), LOST, "it has no label"),
    (record(imageWidth=63), LOST, "drawn on 63x48 pixels, but the image is 64x48"),
    (record(imageWidth=-64), LOST, "drawn on -64x48"),
    (record(imageWidth="wide"), LOST, "drawn on widex48"),
    (record(imageWidth=[64]), LOST, r"drawn on \[64\]x48"),
    (record(imageWidth=48, imageHeight=64), LOST, "drawn on 48x64"),
    (record(imageWidth=10**400), LOST, "drawn on 1000"),
    (record(imageWidth="64", imageHeight=48.0), KEPT, None),
    (record(imageWidth=None, imageHeight=None), KEPT, None),
    (record(imagePath=None), KEPT, None),
    (record(imagePath=7), KEPT, None),
    (record(imagePath="gone.jpg"), KEPT, None),
    (record(imagePath="..\\photos\\a.jpg"), KEPT, None),
    (record(imagePath="C:\\Users\\me\\a.jpg"), KEPT, None),
    (record(imagePath="/home/me/a.jpg"), KEPT, None),
    (record(imagePath="a\0.jpg"), KEPT, None),
    (record(imagePath="x" * 5000), KEPT, None),
    (record(imageData="no picture"), KEPT, None),
    (record(imageData=[1]), KEPT, None),
    (record(version=None, flags=None), KEPT, None),
    (shape(label=None), ONE_LOST, "shape 0: it has no label"),
    (shape(label=""), ONE_LOST, "it has no label"),
    (shape(label=3), ONE_LOST, "a label that is no text"),
    (shape(label={"x": 1}), ONE_LOST, "a label that is no text"),
    (shape(label="Whel"), ONE_LOST, "did you mean 'Wheel'"),
    (shape(label="W\nheel"), ONE_LOST, r"W\\nheel"),
    (shape(label=" Wheel "), KEPT, None),
    (shape(group_id="one"), ONE_LOST, "group_id 'one' is not a whole number"),
    (shape(group_id=[1]), ONE_LOST, "is not a whole number"),
    (shape(group_id=1.5), ONE_LOST, "group_id 1.5 is not"),
    (shape(group_id=True), ONE_LOST, "group_id True is not"),
    (shape(group_id="1"), KEPT, None),
    (shape(group_id=1.0), KEPT, None),
    (shape(group_id=10**400), KEPT, None),
    (shape(description=[1, {}]), KEPT, None),
    (shape(description="instance 99999999999999999999"), KEPT, None),
    (shape(description="score 7.5"), ONE_LOST, "score 7.5 is not between 0 and 1"),
    (shape(score="high"), ONE_LOST, "score 'high' is not between"),
    (shape(score=None), KEPT, None),
    (shape(points=None), ONE_LOST, "no list 'points'"),
    (shape(points="4,4"), ONE_LOST, "no list 'points'"),
    (shape(points=[]), ONE_LOST, "a polygon of 0 points has no area"),
    (shape(points=BOX[:2]), ONE_LOST, "a polygon of 2 points has no area"),
    (shape(points=[*BOX, [4]]), ONE_LOST, "not a pair of numbers"),
    (shape(points=[*BOX, None]), ONE_LOST, "not a pair of numbers"),
    (shape(points=[*BOX, [4, None]]), ONE_LOST, "not a number"),
    (shape(points=[*BOX, ["4", "8"]]), ONE_LOST, "not a number"),
    (shape(points=[*BOX, [4, True]]), ONE_LOST, "not a number"),
    (shape(points=[*BOX, [4, float("nan")]]), ONE_LOST, "not a number"),
    (shape(points=[*BOX, [4, float("inf")]]), ONE_LOST, "far from any photo"),
    (shape(points=[*BOX, [4, 10**400]]), ONE_LOST, "far from any photo"),
    (shape(points=[[900, 900], [950, 900], [950, 950]]), ONE_LOST, "it covers no pixel"),
    (shape(shape_type="point"), ONE_LOST, "shapes of type 'point' are not read"),
    (shape(shape_type="line"), ONE_LOST, "shapes of type 'line' are not read"),
    (shape(shape_type="linestrip"), ONE_LOST, "shapes of type 'linestrip' are not read"),
    (shape(shape_type=["polygon"]), ONE_LOST, "are not read"),
    (shape(shape_type=None), KEPT, None),
    (shape(shape_type="oriented_rectangle"), KEPT, None),
    (shape(shape_type="rotation"), KEPT, None),
    (shape(shape_type="rectangle", points=[BOX[2], BOX[0]]), KEPT, None),
    (shape(shape_type="rectangle", points=BOX[:1]), ONE_LOST, "a rectangle of 1 points"),
    (shape(shape_type="rectangle", points=[BOX[0], BOX[0]]), ONE_LOST, "it covers no pixel"),
    (shape(shape_type="circle", points=BOX[:2]), KEPT, None),
    (shape(shape_type="circle", points=[BOX[0], [4, 10**400]]), ONE_LOST, "far from any photo"),
    (shape(shape_type="rectangle", points=[BOX[0], ["4", 8]]), ONE_LOST, "not a number"),
    (shape(shape_type="rectangle", points=[BOX[0], [[4], 8]]), ONE_LOST, "not a number"),
    (shape(shape_type="circle", points=BOX[:3]), ONE_LOST, "a circle of 3 points"),
    (shape(shape_type="circle", points=[BOX[0], BOX[0]]), ONE_LOST, "it covers no pixel"),
    (mask(png(10, 10)), KEPT, None),
    (mask(png(10, 10), ((60, 44), (69, 53))), KEPT, None),
    (mask(png(10, 10), ((90, 90), (99, 99))), ONE_LOST, "it covers no pixel"),
    (mask(png(10, 10), ((1e9, 0), (1e9, 9))), ONE_LOST, "does not fit its box"),
    (mask(png(10, 10), ((4, 4), (30, 30))), ONE_LOST, "does not fit its box"),
    (mask(png(10, 10), ((4, 4),)), ONE_LOST, "no picture or no box"),
    (mask(png(9000, 9000), ((0, 0), (8999, 8999))), ONE_LOST, "larger than the photo"),
    (mask(None), ONE_LOST, "no picture or no box"),
    (mask(""), ONE_LOST, "the picture of its mask cannot be read"),
    (mask("no picture"), ONE_LOST, "the picture of its mask cannot be read"),
    (mask(png(10, 10)[:60]), ONE_LOST, "the picture of its mask cannot be read"),
    (mask(base64.b64encode(b"%!PS-Adobe-3.0 EPSF-3.0\n").decode()), ONE_LOST, "cannot be read"),
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "photos" / "a.jpg")
    return tmp_path / "photos"


def check(found, kept, message):
    assert found.parts == kept, found
    said = "\n".join([found.error, *found.problems]).strip()
    assert bool(said) == (message is not None), said
    assert re.search(message or "", said), said


@pytest.mark.parametrize(
    ("change", "kept", "message"), CASES, ids=[str(i) for i in range(len(CASES))]
)
def test_the_outcome_is_defined(folder, change, kept, message):
    contents = copy.deepcopy(valid())
    change(contents)
    (folder / "a.json").write_text(json.dumps(contents))
    check(outcome(LABELME, folder), kept, message)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_broken_record_is_a_problem_and_its_photo_is_not_empty(folder, text):
    (folder / "a.json").write_bytes(text)
    found = outcome(LABELME, folder)
    assert found.parts == {}
    assert any("not valid JSON" in line for line in found.problems)


def test_other_json_files_of_the_folder_are_no_records(folder):
    (folder / "a.json").write_text(json.dumps(valid()))
    (folder / "settings.json").write_text('{"theme": "dark"}')
    (folder / ".hidden.json").write_text("{")
    (folder / "more.json").mkdir()
    check(outcome(LABELME, folder), KEPT, None)


def test_two_records_of_one_photo_are_both_left_out(folder):
    for name in ("a.json", "b.json"):
        (folder / name).write_text(json.dumps(valid()))
    check(outcome(LABELME, folder), LOST, "2 records name it, in .*a.json and .*b.json")


def test_photos_without_a_record_are_problems(folder):
    (folder / "a.json").write_text(json.dumps(valid()))
    Image.new("RGB", (64, 48)).save(folder / "b.jpg")
    check(outcome(LABELME, folder), KEPT, "b.jpg: the image has no annotation")


def test_pictures_inside_records_are_taken_where_there_is_no_file(folder):
    picture = base64.b64encode((folder / "a.jpg").read_bytes()).decode()
    (folder / "a.jpg").unlink()
    (folder / "sub").mkdir()
    for name in ("a.json", "sub/a.json"):
        contents = {**valid(), "imageData": picture, "imagePath": "..\\a.png"}
        (folder / name).write_text(json.dumps(contents))
    check(outcome(LABELME, folder), {"a.png": 2, "sub/a.png": 2}, None)
    assert outcome(LABELME, folder).parts  # the same pictures again
    (folder.parent / "pictures" / "a.png").write_bytes(b"of another")
    found = outcome(LABELME, folder)
    assert found.parts == {"sub/a.png": 2}
    assert "is another photo" in found.problems[0]


def test_records_in_a_folder_of_their_own_find_photos_by_name_or_stem(folder):
    labels = folder.parent / "labels" / "train"
    labels.mkdir(parents=True)
    (folder / "train").mkdir()
    (folder / "valid").mkdir()
    (folder / "a.jpg").rename(folder / "train" / "a.jpg")
    Image.new("RGB", (64, 48)).save(folder / "valid" / "a.jpg")
    (labels / "a.json").write_text(json.dumps({**valid(), "imagePath": "renamed.jpg"}))
    found = outcome(LABELME, folder.parent / "labels", folder)
    assert found.parts == {"train/a.jpg": 2}


def prediction(**fields):
    part = {"name": "Wheel", "score": 0.5, "vehicle_id": 0}
    part["mask"] = {"size": [48, 64], "counts": [0, 48 * 64]}
    names = {"file": "a.jpg", "ontology": "test", "width": 64, "height": 48}
    return {**names, "parts": [part], **fields}


def part(**fields):
    return prediction(parts=[{**prediction()["parts"][0], **fields}])


@pytest.mark.parametrize(
    ("contents", "kept", "message"),
    [
        (prediction(), ONE_LOST, None),
        (prediction(parts=[]), {"a.jpg": 0}, None),
        (prediction(parts=None), LOST, "its 'parts' are not a list"),
        (prediction(parts=[None]), LOST, "it is not an object"),
        (prediction(parts=["Wheel"]), LOST, "it is not an object"),
        (prediction(width="wide"), LOST, "predicted on widex48"),
        (prediction(width=65), LOST, "predicted on 65x48"),
        (prediction(file=None), LOST, "there is no such image"),
        (prediction(file="x" * 5000), LOST, "there is no such image"),
        (prediction(file="a\0.jpg"), LOST, "there is no such image"),
        (prediction(file=["a.jpg"]), LOST, "there is no such image"),
        (part(name=None), LOST, "it has no label"),
        (part(name="wheels"), LOST, "did you mean 'Wheel'"),
        (part(mask=None), LOST, "neither a list of polygons"),
        (part(mask={"size": [48, 64], "counts": "x"}), LOST, "not one of COCO"),
        (part(score=2), LOST, "score 2"),
        (part(vehicle_id={}), LOST, "is not a whole number"),
    ],
)
def test_predictions_have_a_defined_outcome(folder, contents, kept, message):
    (folder / "a.json").write_text(json.dumps(contents))
    check(outcome(PREDICTIONS, folder, folder), kept, message)


def test_a_broken_prediction_is_a_problem(folder):
    (folder / "a.json").write_text(json.dumps(prediction()))
    (folder / "b.json").write_text("{")
    check(outcome(PREDICTIONS, folder, folder), ONE_LOST, "b.json: not valid JSON")
