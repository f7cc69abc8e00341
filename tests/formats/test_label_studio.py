"""Label Studio's JSON: what its SDK writes, its kinds of regions, and whose word counts."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from sav.formats.annotation_format import LabelledPhoto
from sav.formats.brush import decode_brush, encode_brush
from sav.formats.records import PartInstance
from sav.formats.registry import FORMATS, detect_format
from tests.formats.tools import DATA, SIZE, box, oval, overlap, photo, read_all

SQUARE = {"points": [[12.5, 25], [37.5, 25], [37.5, 50], [12.5, 50]], "polygonlabels": ["hood"]}
"""Of 16 x 12 pixels."""
ADDRESS = "/data/upload/3/1a2b3c4d-car.jpg"


def region(value, **fields):
    return {"original_width": 64, "original_height": 48, "value": value, **fields}


def task(*regions, **fields):
    return {"data": {"image": ADDRESS}, "annotations": [{"result": list(regions)}], **fields}


@pytest.fixture
def read(tmp_path):
    def read(*tasks):
        folder = photo(tmp_path)
        (folder / "export.json").write_text(json.dumps(tasks))
        parts, problems = read_all("label_studio", folder)
        return parts.get("car.jpg"), problems

    return read


def png(mask):
    pixels = np.zeros((*mask.shape, 4), dtype=np.uint8)
    pixels[mask] = 255
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode()


def test_each_kind_of_region(read):
    mask = oval(20, 20, 11, 8) & ~box(18, 18, 22, 22)
    turned = {"x": 50, "y": 25, "width": 25, "height": 12.5, "rotation": 90}
    lamp = {"x": 50, "y": 50, "radiusX": 31.25, "radiusY": 16.6667, "rotation": 30}
    parts, problems = read(
        task(
            region(SQUARE),
            region({**turned, "rectanglelabels": ["door"]}),
            region({**lamp, "ellipselabels": ["lamp"]}),
            region({"format": "rle", "rle": encode_brush(mask), "brushlabels": ["wheel"]}),
            region({"imageDataURL": png(mask), "bitmasklabels": ["tyre"]}),
        )
    )
    assert not problems
    masks = {part.label: part.mask for part in parts}
    assert (masks["hood"] == box(8, 12, 24, 24)).all()
    assert (masks["door"] == box(26, 12, 32, 28)).all()  # 16 wide, about the top left corner
    assert overlap(masks["lamp"], oval(32, 24, 20, 8, degrees=30)) > 0.97
    assert (masks["wheel"] == mask).all()
    assert (masks["tyre"] == mask).all()


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 1])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (48, 64), (100, 200)])
def test_brush_codes_and_back(size, share):
    mask = np.random.default_rng(0).random(size) < share
    assert (decode_brush(encode_brush(mask), *size) == mask).all()


def test_values_one_by_one_in_a_brush_code():
    """As the browser writes them: two blocks that part a pixel, 5 and 3 values of 2 pixels."""
    values = [0, 0, 0, 255, 9, 9, 9, 127]
    blocks = "".join(f"000{n - 1:03b}" + "".join(f"{v:08b}" for v in part) for n, part in (
        (5, values[:5]), (3, values[5:])))  # fmt: skip
    text = f"{8:032b}{7:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16)) + blocks
    text += "0" * (-len(text) % 8)
    code = list(int(text, 2).to_bytes(len(text) // 8, "big"))
    assert decode_brush(code, 1, 2).tolist() == [[True, False]]


def test_what_the_sdk_writes(tmp_path):
    file = DATA / "label_studio" / "tasks.json"
    assert detect_format(file).name == "label_studio"
    parts, problems = read_all("label_studio", file, photo(tmp_path))
    assert not problems
    masks = {part.label: part.mask for part in parts["car.jpg"]}
    assert (masks["wheel"] == oval(20, 24, 14, 14) & ~oval(20, 24, 6, 6)).all()
    assert (masks["hood"] == box(40, 8, 56, 24)).all()
    assert (masks["door"] == box(36, 30, 56, 40)).all()


def test_an_outline_and_its_label_may_be_two_results(read):
    points = {"points": SQUARE["points"]}
    parts, problems = read(
        task(
            region({**points, "closed": True}, id="r", type="polygon"),
            region({**points, "labels": ["hood"]}, id="r", type="labels"),
            region({**points, "number": 1}, id="r", type="number", from_name="vehicle"),
            {"type": "choices", "id": "c", "value": {"choices": ["sunny"]}},
            {"type": "relation", "from_id": "r", "to_id": "s"},
        )
    )
    assert not problems
    assert [(part.label, part.vehicle_id) for part in parts] == [("hood", 1)]


def test_vehicles_and_instances_in_the_meta_text(read):
    other = {"x": 50, "y": 50, "width": 12.5, "height": 25, "rectanglelabels": ["hood"]}
    meta = {"text": ["Vehicle 2, instance: 1"]}
    (part,), problems = read(task(region(SQUARE, meta=meta), region(other, meta=meta)))
    assert (part.vehicle_id, part.area, problems) == (2, 16 * 12 + 8 * 12, [])


def test_a_region_with_others_below_it_is_a_vehicle(read):
    regions = [region(SQUARE, id=name) for name in "abcdx"]
    for child, parent in (("b", "a"), ("c", "b"), ("d", "x")):
        regions["abcdx".index(child)]["parentID"] = parent
    parts, _ = read(task(*regions))
    assert [part.vehicle_id for part in parts] == [0, 0, 0, 1, 1]


def test_parents_in_a_circle_end(read):
    parts, problems = read(
        task(region(SQUARE, id="a", parentID="b"), region(SQUARE, id="b", parentID="a"))
    )
    assert (len(parts), problems) == (2, [])


def test_of_several_annotators_the_newest_counts_and_it_is_said(read):
    one, two = ({**SQUARE, "polygonlabels": [name]} for name in ("old", "new"))
    annotations = [
        {"id": 7, "created_at": "2024-05-02T10:00:00Z", "result": [region(two)]},
        {"id": 5, "created_at": "2024-05-01T10:00:00Z", "result": [region(one)]},
        {"id": 9, "created_at": "2024-05-03T10:00:00Z", "was_cancelled": True, "result": []},
    ]
    parts, problems = read(task(annotations=annotations))
    assert [part.label for part in parts] == ["new"]
    assert "of its 2 annotations only 7 is read" in problems[0]
    annotations[1]["ground_truth"] = True
    parts, _ = read(task(annotations=annotations))
    assert [part.label for part in parts] == ["old"]


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        ([{"was_cancelled": True, "result": []}], "it was skipped"),
        ([], "it is not annotated"),
        ([{"result": None}], "no list 'result'"),
        (["x"], "it is not annotated"),
    ],
)
def test_a_task_without_an_annotation_is_not_a_photo_without_parts(read, annotations, reason):
    other = {"data": {"image": "other.jpg"}, "annotations": [{"result": []}]}
    parts, problems = read(task(annotations=annotations), other)
    assert parts is None
    assert any(reason in problem for problem in problems)


def test_drafts_that_nobody_has_checked_do_not_count_beside_annotations(read):
    drafts = [{"score": 0.5, "result": [region(SQUARE, score=0.75), region(SQUARE)]}]
    (first, second), problems = read({"data": {"image": ADDRESS}, "predictions": drafts})
    assert (first.score, second.score, problems) == (0.75, 0.5, [])
    other = {"data": {"image": "other.jpg"}, "annotations": [{"result": []}]}
    parts, problems = read(task(annotations=[], predictions=drafts), other)
    assert parts is None
    assert any("it is not annotated" in problem for problem in problems)


@pytest.mark.parametrize("predictions", [7, {"score": 1}, "x", None])
def test_predictions_that_are_no_list_are_none(read, predictions):
    parts, problems = read(task(annotations=[], predictions=predictions))
    assert parts is None
    assert any("it is not annotated" in problem for problem in problems)


def test_json_min(read):
    flat = {"id": 1, "image": ADDRESS, "annotation_id": 4, "annotator": 1, "lead_time": 3.5}
    drawn = {**SQUARE, "original_width": 64, "original_height": 48}
    (part,), problems = read({**flat, "label": [drawn]})
    assert (part.label, part.area, problems) == ("hood", 192, [])


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/upload/3/1a2b3c4d-car.jpg", "car.jpg"),
        ("/data/local-files/?d=photos%2Fcar.jpg", "car.jpg"),
        ("s3://bucket/photos/car.jpg", "car.jpg"),
        ("https://host/photos/my%20car.jpg?token=a%2Fb", "my car.jpg"),
        ("/data/upload/3/1a2b3c4d-my_car_1.jpg", "my car (1).jpg"),
        ("http://[host/car.jpg", "car.jpg"),
    ],
)
def test_names_of_photos(tmp_path, address, name):
    photo(tmp_path, name)
    photo(tmp_path, "other.png")
    tasks = [{"data": {"image": address}, "annotations": [{"result": []}]}]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    (entry,) = FORMATS["label_studio"].find(tmp_path, None)
    assert entry.name == name


@pytest.mark.parametrize(
    ("value", "fields", "reason"),
    [
        ({"x": 1, "y": 1, "width": 1, "keypointlabels": ["a"]}, {}, "has no area"),
        ({"vertices": [], "vectorlabels": ["a"]}, {}, "has no area"),
        ({"points": SQUARE["points"]}, {}, "it has no label"),
        ({**SQUARE, "polygonlabels": ["a", "b"]}, {}, "2 labels, a and b"),
        ({**SQUARE, "points": [[1, 2], [3]]}, {}, "cannot be read"),
        ({**SQUARE, "points": [[1, 2], [3, "x"], [4, 5]]}, {}, "y 'x' is not a number"),
        ({**SQUARE, "points": 3}, {}, "cannot be read"),
        ({"x": 1, "y": None, "width": 5, "height": 5, "labels": ["a"]}, {}, "y 'None' is not"),
        (SQUARE, {"original_width": 65}, "drawn on 65x48 pixels, but the image is 64x48"),
        (SQUARE, {"image_rotation": 90}, "turned by 90 degrees"),
        ({"rle": [0, 1], "brushlabels": ["a"]}, {}, "has no beginning"),
        ({"rle": [256] * 9, "brushlabels": ["a"]}, {}, "numbers from 0 to 255"),
        ({"rle": "x", "brushlabels": ["a"]}, {}, "has no beginning"),
        ({"rle": [255] * 40, "brushlabels": ["a"]}, {}, "is for 4294967295 values"),
        ({"rle": encode_brush(box(1, 1, 9, 9))[:20], "brushlabels": ["a"]}, {}, "cut off"),
        ({"rle": encode_brush(box(0, 0, 0, 0)), "brushlabels": ["a"]}, {}, "covers no pixel"),
        ({"imageDataURL": "x", "bitmasklabels": ["a"]}, {}, "cannot be read"),
        ({"imageDataURL": 3, "bitmasklabels": ["a"]}, {}, "cannot be read"),
        (
            {"imageDataURL": png(np.ones((480, 640), bool)), "bitmasklabels": ["a"]},
            {},
            "640x480, larger than the photo",
        ),
        (
            {"imageDataURL": png(np.ones((24, 32), bool)), "bitmasklabels": ["a"]},
            {},
            "the segmentation is 32x24",
        ),
    ],
)
def test_a_bad_region_is_a_problem_and_the_others_stay(read, value, fields, reason):
    parts, problems = read(task(region(value, **fields), region(SQUARE)))
    assert [part.label for part in parts] == ["hood"]
    assert len(problems) == 1
    assert reason in problems[0]


@pytest.mark.parametrize("bad", [None, "x", {"value": 3}, {"id": [1], "value": {"labels": []}}])
def test_results_that_are_no_regions(read, bad):
    parts, problems = read(task(bad, region(SQUARE)))
    assert [part.label for part in parts] == ["hood"]
    assert len(problems) <= 1


def test_two_tasks_of_one_photo(read):
    parts, problems = read(task(), task())
    assert parts is None
    assert "2 records name it" in problems[0]


def test_predictions_are_written_as_such_and_the_labeling_interface_with_them(tmp_path):
    folder = photo(photo(tmp_path), "none.jpg")
    part = PartInstance("a <b>", PartInstance.of_mask("", box(1, 1, 9, 9)).code, None, 0.5)
    photos = [
        LabelledPhoto(folder / name, name, *SIZE, parts)
        for name, parts in (("car.jpg", [part]), ("none.jpg", []))
    ]
    FORMATS["label_studio"].write(iter(photos), ["a <b>"], folder)
    tasks = json.loads((folder / "label_studio.json").read_text())
    assert [task.keys() for task in tasks] == [{"data", "predictions"}] * 2
    assert tasks[0]["predictions"][0]["score"] == 0.5
    assert 'value="a &lt;b&gt;"' in (folder / "labeling_config.xml").read_text()
    parts, problems = read_all("label_studio", folder)
    assert ([len(found) for found in parts.values()], problems) == ([1, 0], [])


def test_a_file_that_is_cut_off_is_a_problem_beside_others(tmp_path):
    for name in ("a", "b"):
        photo(tmp_path, f"{name}.jpg")
        value = {"points": [[10, 10], [50, 10], [50, 50]], "polygonlabels": ["door"]}
        task = {"data": {"image": f"{name}.jpg"}, "annotations": [{"result": [{"value": value}]}]}
        (tmp_path / f"{name}.json").write_text(json.dumps([None, task]))
    parts, _ = read_all("label_studio", tmp_path)
    assert set(parts) == {"a.jpg", "b.jpg"}
    (tmp_path / "b.json").write_text((tmp_path / "b.json").read_text()[:-9])
    parts, problems = read_all("label_studio", tmp_path)
    assert set(parts) == {"a.jpg"}
    assert any("b.json: not valid JSON" in problem for problem in problems)
