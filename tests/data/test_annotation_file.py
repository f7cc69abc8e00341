"""COCO instances files as records; what Detectron2 makes of them is compared where it is there."""

import gc
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sav.data.annotation_file import AnnotationFile, file_stamp, read_annotation_file
from sav.errors import SAVError

POLYGON = [[1, 1, 9, 1, 9, 6]]
RUNS = {"size": [40, 60], "counts": [100, 50, 2250]}


def compressed(mask):
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {**code, "counts": code["counts"].decode()}


@pytest.fixture
def contents():
    """Two photos in the wrong order, categories too; the second photo shows nothing."""
    annotation = {"image_id": 1, "category_id": 10, "bbox": [1, 1, 8, 5], "area": 20, "iscrowd": 0}
    return {
        "info": {"image_root": "photos"},
        "images": [
            {"id": 2, "file_name": "b.png", "width": 30, "height": 20, "group": 7},
            {"id": 1, "file_name": "a.png", "width": 60, "height": 40},
        ],
        "categories": [{"id": 20, "name": "door"}, {"id": 10, "name": "wheel"}],
        "annotations": [
            {**annotation, "id": 1, "segmentation": POLYGON},
            {**annotation, "id": 2, "segmentation": RUNS, "category_id": 20, "vehicle_id": 3},
            {**annotation, "id": 3, "segmentation": [[1, 1, 2, 2], *POLYGON], "iscrowd": 1},
            {**annotation, "id": 4, "segmentation": compressed(np.eye(40, 60))},
            {**annotation, "id": 5, "segmentation": [[1, 1, 2, 2]]},
        ],
    }


@pytest.fixture
def read(tmp_path, contents):
    def write_and_read():
        path = tmp_path / "coco.json"
        path.write_text(json.dumps(contents))
        return read_annotation_file(file_stamp(path))

    return write_and_read


def test_records_are_detectron2s_standard_ones(read):
    file = read()
    assert file.info == {"image_root": "photos"}
    assert [category["name"] for category in file.categories] == ["wheel", "door"]
    first, second = file.records()
    assert (first["image_id"], first["file_name"]) == (1, "a.png")
    assert (first["width"], first["height"]) == (60, 40)
    assert "vehicle_group" not in first
    assert [a["category_id"] for a in first["annotations"]] == [0, 1, 0, 0]
    assert [a["iscrowd"] for a in first["annotations"]] == [0, 0, 1, 0]
    assert [a.get("vehicle_id") for a in first["annotations"]] == [None, 3, None, None]
    assert all(a["bbox"] == [1, 1, 8, 5] for a in first["annotations"])
    assert all(a["area"] == 20 for a in first["annotations"])
    assert (second["image_id"], second["vehicle_group"]) == (2, "7")
    assert second["annotations"] == []


def test_segmentations_are_cleaned(read):
    first, _ = read().records()
    segmentations = [annotation["segmentation"] for annotation in first["annotations"]]
    assert segmentations[0] == segmentations[2] == POLYGON
    assert coco_mask.area(segmentations[1]) == 50
    assert coco_mask.area(segmentations[3]) == 40


def test_detectron2_reads_the_same(read, tmp_path):
    datasets = pytest.importorskip("detectron2.data.datasets", reason="needs Detectron2")
    ours = [{k: v for k, v in r.items() if k != "vehicle_group"} for r in read().records()]
    path = str(tmp_path / "coco.json")
    keys = ["vehicle_id", "area"]
    assert ours == datasets.load_coco_json(path, "", "ours", extra_annotation_keys=keys)


def test_callers_may_change_their_records(read):
    file = read()
    first, _ = file.records()
    first["annotations"][0]["bbox"].clear()
    first["annotations"][1]["segmentation"].clear()
    first["annotations"].pop()
    assert next(file.records())["annotations"][0]["bbox"] == [1, 1, 8, 5]
    assert len(next(file.records())["annotations"]) == 4


def test_kept_annotations_are_no_objects_that_garbage_collection_writes_to(read):
    """Each loader worker of each process would otherwise have its own copy of them all."""
    file = read()
    assert isinstance(file, AnnotationFile)
    assert len(file.packed) == 2
    assert not any(gc.is_tracked(record) for record in file.packed)


def test_lost_annotations_are_named_and_photos_without_others_are_left_out(read, contents):
    """An unusable mask must not turn a photo into one that shows nothing."""
    annotation = contents["annotations"][0]
    contents["images"] += [
        {"id": 3, "file_name": "c.png", "width": 60, "height": 40},
        {"id": 4, "file_name": "d.png", "width": 60, "height": 40},
    ]
    contents["annotations"] += [
        {**annotation, "id": 6, "image_id": 3, "segmentation": []},
        {**annotation, "id": 7, "image_id": 4, "segmentation": [[1, 1, 9, float("nan"), 9, 6]]},
        {**annotation, "id": 8, "segmentation": {"size": [60, 40], "counts": [2400]}},
        {**annotation, "id": 9, "segmentation": None},
        {**annotation, "id": 10, "image_id": 99},
        {**annotation, "id": 12, "segmentation": {"size": [40, 60], "counts": [10**9]}},
        {**annotation, "id": 11, "segmentation": [[1, 1, 9, 1, 9, 6], "x"]},
    ]
    file = read()
    assert [record["image_id"] for record in file.records()] == [1, 2]
    assert [len(record["annotations"]) for record in file.records()] == [4, 0]
    assert file.num_left_out == 2
    reasons = dict(line.split(": ", 1) for line in file.lost)
    assert reasons.keys() == {f"annotation {i}" for i in range(5, 13)}
    assert reasons["annotation 6"] == "it has no mask"
    assert "not a number" in reasons["annotation 7"]
    assert "40x60, but the image is 60x40" in reasons["annotation 8"]
    assert reasons["annotation 12"].startswith("its run-length code does not add up")
    assert reasons["annotation 10"] == "there is no image 99"


def test_vehicles_and_groups_may_be_left_open(read, contents):
    contents["annotations"][1]["vehicle_id"] = contents["images"][0]["group"] = None
    first, second = read().records()
    assert "vehicle_id" not in first["annotations"][1]
    assert "vehicle_group" not in second


def same_annotation_id(contents):
    contents["annotations"][0]["id"] = 2
    return "annotation id 2 is used by two of them"


def same_image_id(contents):
    contents["images"][0]["id"] = 1
    return "image id 1 is used by b.png and a.png"


def same_category_id(contents):
    contents["categories"][0]["id"] = 10
    return "category id 10 is used by door and wheel"


def same_file_name(contents):
    contents["images"][0]["file_name"] = "a.png"
    return "image 'a.png' is listed 2 times"


def text_as_image_id(contents):
    contents["images"][0]["id"] = "2"
    return "image id '2': it is no whole number"


def text_as_category_id(contents):
    contents["categories"][0]["id"] = "20"
    return "category id '20': it is no whole number"


def list_as_annotation_id(contents):
    contents["annotations"][0]["id"] = [1]
    return r"annotation id \[1\]: it is no whole number"


def text_as_image_of_annotation(contents):
    contents["annotations"][3]["image_id"] = "1"
    return "annotation 4: its image_id '1' is no whole number"


def text_as_vehicle(contents):
    contents["annotations"][1]["vehicle_id"] = "car1"
    return "annotation 2: its vehicle_id 'car1' is no whole number"


def no_file_name(contents):
    contents["images"][0]["file_name"] = None
    return "image 2: its file_name is no text"


def no_size(contents):
    contents["images"][0]["width"] = 30.5
    return "image 'b.png': its width 30.5 is no size"


def list_as_info(contents):
    contents["info"] = ["mine"]
    return "its 'info' is not one of an annotation file"


def number_as_vocabulary(contents):
    contents["info"]["ontology"] = 7
    return "its 'info' is not one of an annotation file"


def unknown_category(contents):
    contents["annotations"][3]["category_id"] = 30
    return "annotation 4: there is no category 30"


def list_as_category(contents):
    contents["annotations"][3]["category_id"] = [10]
    return r"annotation 4: there is no category \[10\]"


def text_as_area(contents):
    contents["annotations"][2]["area"] = "20"
    return "annotation 3: its area '20' is no number"


def empty_box(contents):
    contents["annotations"][2]["bbox"] = []
    return "annotation 3: its box is empty"


@pytest.mark.parametrize(
    "spoil",
    [
        same_annotation_id,
        same_image_id,
        same_category_id,
        same_file_name,
        text_as_image_id,
        text_as_category_id,
        list_as_annotation_id,
        text_as_image_of_annotation,
        text_as_vehicle,
        no_file_name,
        no_size,
        list_as_info,
        number_as_vocabulary,
        unknown_category,
        list_as_category,
        empty_box,
        text_as_area,
    ],
)
def test_what_is_not_consistent_is_an_error(read, contents, spoil, tmp_path):
    message = spoil(contents)
    with pytest.raises(SAVError, match=f"coco.json: {message}"):
        read()
