import json
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest

from sav.d2 import DatasetCatalog, MetadataCatalog, load_coco_json


def test_names_are_registered_once():
    DatasetCatalog.register("once", lambda: [{"image_id": 1}])
    try:
        assert "once" in DatasetCatalog.list()
        assert DatasetCatalog.get("once") == [{"image_id": 1}]
        with pytest.raises(AssertionError, match="once"):
            DatasetCatalog.register("once", list)
    finally:
        DatasetCatalog.remove("once")
    with pytest.raises(KeyError, match="once"):
        DatasetCatalog.get("once")
    with pytest.raises(AssertionError):
        DatasetCatalog.register("no function", [])


def test_metadata_is_set_once():
    metadata = MetadataCatalog.get("facts")
    try:
        metadata.set(thing_classes=["a"], json_file="x.json")
        metadata.thing_classes = ["a"]
        assert MetadataCatalog.get("facts").thing_classes == ["a"]
        assert metadata.get("absent", 3) == 3
        assert metadata.name == "facts"
        with pytest.raises(AssertionError, match="thing_classes"):
            metadata.thing_classes = ["b"]
        with pytest.raises(AttributeError, match="absent"):
            _ = metadata.absent
        assert metadata.get("json_file") == "x.json"
    finally:
        MetadataCatalog.remove("facts")


def test_coco_records(dataset, coco_root):
    records = load_coco_json(
        str(coco_root / "coco.json"), str(coco_root), dataset, extra_annotation_keys=["vehicle_id"]
    )
    assert [r["image_id"] for r in records] == [1, 2, 3, 4]
    first = records[0]
    assert (first["width"], first["height"]) == (60, 40)
    assert Path(first["file_name"]) == coco_root / "1.png"
    annotation = first["annotations"][1]
    assert annotation["bbox"] == [30, 10, 20, 25]
    assert annotation["category_id"] == 1
    assert annotation["vehicle_id"] == 7
    assert records[3]["annotations"] == []
    metadata = MetadataCatalog.get(dataset)
    assert metadata.thing_classes == ["wheel", "door", "plate"]
    assert metadata.thing_dataset_id_to_contiguous_id == {10: 0, 20: 1, 30: 2}


def edit(dataset, coco_root, change):
    """Change the annotations of the fixture and load them."""
    path = coco_root / "coco.json"
    coco = json.loads(path.read_text())
    change(coco["annotations"])
    path.write_text(json.dumps(coco))
    return load_coco_json(str(path), str(coco_root), dataset)


def test_coco_segmentations_are_cleaned(dataset, coco_root):
    def change(annotations):
        annotations[0]["segmentation"] = {"size": [40, 60], "counts": [100, 50, 2250]}
        annotations[1]["segmentation"] = [[1, 1, 2, 2], [5, 5, 9, 5, 9, 9]]
        annotations[2]["segmentation"] = [[1, 1, 2, 2]]
        compressed = mask_util.encode(np.asfortranarray(np.eye(40, 60, dtype=np.uint8)))
        compressed["counts"] = compressed["counts"].decode()
        annotations[3]["segmentation"] = compressed

    records = edit(dataset, coco_root, change)
    first, second = records[0]["annotations"]
    assert mask_util.area(first["segmentation"]) == 50
    assert second["segmentation"] == [[5, 5, 9, 5, 9, 9]]
    # What has no polygon of three points or more is left out.
    (only,) = records[1]["annotations"]
    assert mask_util.area(only["segmentation"]) == 40


def test_coco_crowds_are_kept_and_marked(dataset, coco_root):
    records = edit(dataset, coco_root, lambda annotations: annotations[0].update(iscrowd=1))
    assert [a["iscrowd"] for a in records[0]["annotations"]] == [1, 0]


def test_coco_ids_of_annotations_are_unique(dataset, coco_root):
    with pytest.raises(AssertionError, match="unique"):
        edit(dataset, coco_root, lambda annotations: annotations[0].update(id=annotations[1]["id"]))
