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
    assert ours == datasets.load_coco_json(path, "", "ours", extra_annotation_keys=["vehicle_id"])


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


def same_annotation_id(contents):
    contents["annotations"][0]["id"] = 2
    return "two of its annotations have one id"


def same_image_id(contents):
    contents["images"][0]["id"] = 1
    return "two of its images have one id"


def unknown_category(contents):
    contents["annotations"][3]["category_id"] = 30
    return "annotation 4: there is no category 30"


def empty_box(contents):
    contents["annotations"][2]["bbox"] = []
    return "annotation 3: its box is empty"


@pytest.mark.parametrize("spoil", [same_annotation_id, same_image_id, unknown_category, empty_box])
def test_what_is_not_consistent_is_an_error(read, contents, spoil, tmp_path):
    message = spoil(contents)
    with pytest.raises(SAVError, match=f"coco.json: {message}"):
        read()
