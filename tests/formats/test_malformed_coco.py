"""What comes of COCO files that are not as they should be."""

import copy
import json
import os
import re

import pytest
from PIL import Image

from sav.formats.coco import COCO
from tests.formats.outcomes import outcome

BOX = [4, 4, 24, 4, 24, 24, 4, 24]
HUGE = 10**400
KEPT = {"a.jpg": 2, "b.jpg": 1}
A_LOST = {"b.jpg": 1}
ONE_LOST = {"a.jpg": 1, "b.jpg": 1}


def valid():
    image = {"width": 64, "height": 48}
    return {
        "images": [
            {"id": 1, "file_name": "a.jpg", **image},
            {"id": 2, "file_name": "b.jpg", **image},
        ],
        "categories": [{"id": 1, "name": "Wheel"}, {"id": 2, "name": "door"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [BOX]},
            {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [BOX]},
            {"id": 3, "image_id": 2, "category_id": 1, "segmentation": [BOX]},
        ],
    }


def first(key, **fields):
    """Fields of the first entry of a list, where ... takes the field away."""

    def change(contents):
        for name, value in fields.items():
            if value is ...:
                contents[key][0].pop(name)
            else:
                contents[key][0][name] = value

    return change


def mask(**fields):
    return first("annotations", segmentation={"size": [48, 64], "counts": [48 * 64], **fields})


def shape(value):
    return first("annotations", segmentation=value)


def put(key, value):
    return lambda contents: contents.update({key: value})


def add(key, value):
    return lambda contents: contents[key].append(value)


def replace_first(key, value):
    def change(contents):
        contents[key][0] = value

    return change


def nested(depth):
    return json.loads("[" * depth + "]" * depth)


CASES = [
    # the file
    (put("images", {}), None, "no list 'images'"),
    (put("images", None), None, "no list 'images'"),
    (put("images", []), None, "lists no image"),
    (put("annotations", 7), None, "no list 'annotations'"),
    (put("annotations", {"1": {}}), None, "no list 'annotations'"),
    (put("categories", "Wheel"), None, "no list 'categories'"),
    (lambda c: c.pop("categories"), None, "no list 'categories'"),
    (put("info", [1, 2]), KEPT, None),
    (put("info", {"image_root": 7}), KEPT, None),
    (put("licenses", nested(200)), KEPT, None),
    (put("annotations", []), {"a.jpg": 0, "b.jpg": 0}, None),
    # images
    (first("images", file_name=None), A_LOST, r"images\[0\]: its file_name is not a text"),
    (first("images", file_name=["a.jpg"]), A_LOST, "its file_name is not a text"),
    (first("images", file_name=""), A_LOST, "its file_name is not a text"),
    (first("images", file_name=...), A_LOST, "its file_name is not a text"),
    (first("images", file_name="gone.jpg"), A_LOST, "gone.jpg: there is no such image"),
    (first("images", file_name="../secret.jpg"), A_LOST, "there is no such image"),
    (first("images", file_name="a\0.jpg"), A_LOST, r"a\\x00.jpg: there is no such image"),
    (first("images", file_name="a\nb.jpg"), A_LOST, r"a\\nb.jpg: there is no such image"),
    (first("images", file_name="\ud800.jpg"), A_LOST, r"\\ud800.jpg: there is no such image"),
    (first("images", file_name="\x1b[31m.jpg"), A_LOST, "there is no such image"),
    (first("images", file_name="x" * 300), A_LOST, "there is no such image"),
    (first("images", file_name="x" * 100_000), A_LOST, "there is no such image"),
    (first("images", file_name="http://[x/a2.jpg"), A_LOST, "there is no such image"),
    (first("images", file_name="."), A_LOST, "there is no such image"),
    (first("images", file_name="/"), A_LOST, "there is no such image"),
    (first("images", file_name="folder.jpg"), A_LOST, "there is no such image"),
    (first("images", file_name="empty.jpg"), A_LOST, "cannot be read"),
    (first("images", file_name="text.jpg"), A_LOST, "cannot be read"),
    (first("images", file_name="loop.jpg"), A_LOST, "there is no such image"),
    (first("images", file_name="b.jpg"), None, "image 'b.jpg' is listed 2 times"),
    (first("images", file_name="sub/b.jpg"), {}, "2 records name it"),
    (first("images", id=2), None, "image id 2 is used by a.jpg and b.jpg"),
    (first("images", id=2.0), None, "image id 2 is used by a.jpg and b.jpg"),
    (first("images", id=None), A_LOST, "its id is neither a number nor a text"),
    (first("images", id=...), A_LOST, "its id is neither"),
    (first("images", id=[1]), A_LOST, "its id is neither"),
    (first("images", id=True), A_LOST, "its id is neither"),
    (first("images", id=float("nan")), A_LOST, "its id is neither"),
    (first("images", id="1"), KEPT, None),
    (first("images", id=1.0), KEPT, None),
    (first("images", id=HUGE), A_LOST, "there is no image 1"),
    (first("images", width=0), A_LOST, "it was annotated on 0x48"),
    (first("images", width=-64), A_LOST, "it was annotated on -64x48"),
    (first("images", width=HUGE), A_LOST, "it was annotated on 1000"),
    (first("images", width=float("nan")), A_LOST, "it was annotated on nanx48"),
    (first("images", width=48, height=64), A_LOST, "the image is 64x48"),
    (first("images", width="wide"), A_LOST, "it was annotated on widex48"),
    (first("images", width=64.5), A_LOST, "it was annotated on 64.5x48"),
    (first("images", width=64.0, height="48"), KEPT, None),
    (first("images", width=None, height=None), KEPT, None),
    (first("images", width=..., height=...), KEPT, None),
    (first("images", group={"x": [1]}), KEPT, None),
    (replace_first("images", None), A_LOST, r"images\[0\]"),
    (replace_first("images", "a.jpg"), A_LOST, r"images\[0\]"),
    # categories
    (first("categories", id=2), None, "category id 2 is used by 'Wheel' and 'door'"),
    (first("categories", id=None), {"a.jpg": 1}, "there is no category 1"),
    (first("categories", id=...), {"a.jpg": 1}, "there is no category 1"),
    (first("categories", name=None), {"a.jpg": 1}, "there is no category 1"),
    (first("categories", name=...), {"a.jpg": 1}, "there is no category 1"),
    (first("categories", name=""), {"a.jpg": 1}, "it has no label"),
    (first("categories", name=5), {"a.jpg": 1}, "a label that is no text"),
    (first("categories", name=["Wheel"]), {"a.jpg": 1}, "a label that is no text"),
    (first("categories", name="wheel"), {"a.jpg": 1}, "did you mean 'Wheel'"),
    (first("categories", name="w" * 10**6), {"a.jpg": 1}, "is not in the ontology|www ... www"),
    (first("categories", name="Whe\x1bel"), {"a.jpg": 1}, r"Whe\\x1bel"),
    (first("categories", name="  Wheel\n"), KEPT, None),
    (replace_first("categories", 3), {"a.jpg": 1}, "there is no category 1"),
    (add("categories", {"id": 3, "name": None}), KEPT, None),
    # annotations
    (first("annotations", id=2), None, "two annotations have the id 2"),
    (first("annotations", id=...), KEPT, None),
    (first("annotations", id=None), KEPT, None),
    (first("annotations", image_id=99), ONE_LOST, "annotation 1: there is no image 99"),
    (first("annotations", image_id=...), ONE_LOST, "annotation 1: there is no image None"),
    (first("annotations", image_id=[1]), ONE_LOST, r"there is no image \[1\]"),
    (first("annotations", image_id="1"), KEPT, None),
    (first("annotations", image_id=1.0), KEPT, None),
    (first("annotations", category_id=99), ONE_LOST, "there is no category 99"),
    (first("annotations", category_id=None), ONE_LOST, "there is no category None"),
    (first("annotations", category_id={}), ONE_LOST, "there is no category {}"),
    (first("annotations", vehicle_id="car1"), ONE_LOST, "vehicle 'car1' is not a whole number"),
    (first("annotations", vehicle_id=1.5), ONE_LOST, "vehicle 1.5 is not a whole number"),
    (first("annotations", vehicle_id=HUGE), ONE_LOST, "is not a whole number"),
    (first("annotations", vehicle_id=[0]), ONE_LOST, "is not a whole number"),
    (first("annotations", vehicle_id=True), ONE_LOST, "is not a whole number"),
    (first("annotations", vehicle_id="3"), KEPT, None),
    (first("annotations", vehicle_id=3.0), KEPT, None),
    (first("annotations", score=95), ONE_LOST, "score 95 is not between 0 and 1"),
    (first("annotations", score=float("nan")), ONE_LOST, "score nan"),
    (first("annotations", score="high"), ONE_LOST, "score 'high'"),
    (first("annotations", iscrowd="yes"), KEPT, None),
    (first("annotations", attributes=[1]), KEPT, None),
    (first("annotations", attributes={"vehicle": "truck"}), KEPT, None),
    (replace_first("annotations", None), ONE_LOST, r"annotations\[0\]: there is no image None"),
    (replace_first("annotations", [BOX]), ONE_LOST, r"annotations\[0\]: there is no image None"),
    # segmentations
    (shape(None), ONE_LOST, "it has no segmentation"),
    (first("annotations", segmentation=...), ONE_LOST, "it has no segmentation"),
    (shape([]), ONE_LOST, "it has no segmentation"),
    (shape([[]]), ONE_LOST, "it has no segmentation"),
    (first("annotations", segmentation=[], bbox=[4, 4, 20, 20]), ONE_LOST, "a box and no outline"),
    (shape("4,4,24,4,24,24"), ONE_LOST, "neither a list of polygons nor"),
    (shape(7), ONE_LOST, "neither a list of polygons nor"),
    (shape(nested(900)), ONE_LOST, "a polygon has a coordinate that is not a number"),
    (shape([{}]), ONE_LOST, "not a number"),
    (shape([BOX, None]), ONE_LOST, "not a list of numbers"),
    (shape([BOX[:4]]), ONE_LOST, "fewer than 3 points"),
    (shape([BOX[:7]]), ONE_LOST, "an odd number"),
    (shape([[*BOX[:7], None]]), ONE_LOST, "not a number"),
    (shape([[*BOX[:7], "24"]]), ONE_LOST, "not a number"),
    (shape([[*BOX[:7], float("nan")]]), ONE_LOST, "not a number"),
    (shape([[*BOX[:7], float("-inf")]]), ONE_LOST, "not a number"),
    (shape([[*BOX[:7], HUGE]]), ONE_LOST, "far from any photo"),
    (shape([[*BOX[:7], 1e300]]), ONE_LOST, "far from any photo"),
    (shape([[x + 500 for x in BOX]]), ONE_LOST, "it covers no pixel of the photo"),
    (shape([[4, 4, 24, 24, 4, 4]]), ONE_LOST, "it covers no pixel of the photo"),
    (shape([[0, 0, 64, 0, 64, 48, 0, 48] * 5000]), ONE_LOST, "it crosses itself"),
    (shape(BOX), KEPT, None),
    (shape([[-1e8, -1e8, 1e8, -1e8, 1e8, 1e8, -1e8, 1e8]]), KEPT, None),
    (shape({}), ONE_LOST, "it has no segmentation"),
    (shape({"counts": [48 * 64]}), ONE_LOST, "neither a list of polygons nor"),
    (mask(size=[64, 48]), ONE_LOST, "the segmentation is 48x64, but the image is 64x48"),
    (mask(size=None), ONE_LOST, "the size of its run-length code"),
    (mask(size=["48", "64"]), ONE_LOST, "the size of its run-length code"),
    (mask(size=[48]), ONE_LOST, "the size of its run-length code"),
    (mask(size=[48, -64]), ONE_LOST, "the segmentation is -64x48"),
    (mask(size=[HUGE, HUGE]), ONE_LOST, "but the image is 64x48"),
    (mask(counts=None), ONE_LOST, "neither a text nor whole numbers"),
    (mask(counts={}), ONE_LOST, "neither a text nor whole numbers"),
    (mask(counts=[]), ONE_LOST, "does not add up"),
    (mask(counts=[0, 10]), ONE_LOST, "does not add up"),
    (mask(counts=[-5, 48 * 64 + 5]), ONE_LOST, "does not add up"),
    (mask(counts=[HUGE]), ONE_LOST, "does not add up"),
    (mask(counts=[0.5, 48 * 64 - 0.5]), ONE_LOST, "neither a text nor whole numbers"),
    (mask(counts=[True, 48 * 64 - 1]), ONE_LOST, "neither a text nor whole numbers"),
    (mask(counts=""), ONE_LOST, "not one of COCO's compressed codes"),
    (mask(counts="no code!"), ONE_LOST, "not one of COCO's compressed codes"),
    (mask(counts="o" * 40), ONE_LOST, "not one of COCO's compressed codes"),
    (mask(counts="0" * 10**6), ONE_LOST, "not one of COCO's compressed codes"),
    (mask(counts="\ud800"), ONE_LOST, "not one of COCO's compressed codes"),
    (mask(), ONE_LOST, "it covers no pixel of the photo"),
    (mask(size=[48.0, 64.0], counts=[0, 48 * 64]), KEPT, None),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("coco")
    images = root / "images"
    (images / "folder.jpg").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "../secret.jpg"):
        Image.new("RGB", (64, 48)).save(images / name)
    (images / "empty.jpg").write_bytes(b"")
    (images / "text.jpg").write_text("no photo")
    (images / "loop.jpg").symlink_to("loop.jpg")
    return root


@pytest.mark.parametrize(
    ("change", "kept", "message"), CASES, ids=[f"{i}" for i in range(len(CASES))]
)
def test_the_outcome_is_defined(folder, change, kept, message):
    contents = copy.deepcopy(valid())
    change(contents)
    (folder / "x.json").write_text(json.dumps(contents))
    found = outcome(COCO, folder / "x.json", folder / "images")
    assert found.parts == (kept or {})
    said = found.error if kept is None else "\n".join(found.problems)
    assert bool(said) == (message is not None), said
    assert re.search(message or "", said), said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xd8\xff\xe0", "not valid JSON"),
        (b"\x00" * 100, "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"images": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"null", "not a COCO instances file"),
        (b"7", "not a COCO instances file"),
        (b'[{"image_id": 1, "category_id": 1, "score": 0.5}]', "a list, as COCO results are"),
    ],
)
def test_no_coco_file_is_one_error(folder, text, message):
    (folder / "x.json").write_bytes(text)
    assert re.search(message, outcome(COCO, folder / "x.json", folder / "images").error)


def test_neither_a_missing_file_nor_a_pipe_is_waited_for(folder):
    (folder / "x.json").write_text(json.dumps(valid()))
    os.mkfifo(folder / "pipe.json")
    for name, message in {"gone.json": "no such", "pipe.json": "no plain file"}.items():
        assert message in outcome(COCO, folder / name, folder / "images").error
    assert "there is no such image folder" in outcome(COCO, folder / "x.json", folder / "y").error


@pytest.mark.parametrize("root", ["gone", "x" * 5000, "\ud800", "images/a.jpg"])
def test_an_image_folder_that_cannot_be_is_one_error(folder, root):
    (folder / "x.json").write_text(json.dumps({**valid(), "info": {"image_root": root}}))
    assert "there is no such image folder" in outcome(COCO, folder / "x.json").error


def test_absolute_names_longer_than_the_system_allows_are_one_error(folder):
    (folder / "alone").mkdir()
    images = valid()["images"]
    for image in images:
        image["file_name"] = f"/{'x' * 5000}/other_{image['file_name']}"
    (folder / "alone" / "x.json").write_text(json.dumps({**valid(), "images": images}))
    assert "their names are absolute" in outcome(COCO, folder / "alone" / "x.json").error


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_other_encodings_are_read(folder, encoding):
    (folder / "x.json").write_text(json.dumps(valid()), encoding=encoding)
    assert outcome(COCO, folder / "x.json", folder / "images").parts == KEPT


def test_a_photo_whose_labels_went_astray_does_not_become_empty(folder):
    contents = valid()
    contents["annotations"][2]["image_id"] = 77
    (folder / "x.json").write_text(json.dumps(contents))
    found = outcome(COCO, folder / "x.json", folder / "images")
    assert found.parts == {"a.jpg": 2}
    assert any("b.jpg: it has no annotations, and 1 of the file" in line for line in found.problems)
