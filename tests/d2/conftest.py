import json

import numpy as np
import pytest
from PIL import Image

from sav.d2 import DatasetCatalog, MetadataCatalog

NAMES = ["wheel", "door", "plate"]


@pytest.fixture
def coco_root(tmp_path):
    """Four images with a wheel and a door each, the last one with nothing; plates never appear."""
    images, annotations = [], []
    for i in range(1, 5):
        Image.fromarray(np.full((40, 60, 3), 40 * i, np.uint8)).save(tmp_path / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 60, "height": 40})
        if i == 4:
            continue
        for category, (x, y, w, h) in ((10, (2 * i, 4, 10, 12)), (20, (30, 10, 20, 25))):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": category,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                    "vehicle_id": 7,
                }
            )
    categories = [{"id": 10 * (k + 1), "name": name} for k, name in enumerate(NAMES)]
    coco = {"images": images, "annotations": annotations, "categories": categories[::-1]}
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    return tmp_path


@pytest.fixture
def dataset(coco_root):
    """The images above as a registered data set; gives its name."""
    name = "conformance"
    records = [
        {
            "file_name": str(coco_root / f"{i}.png"),
            "height": 40,
            "width": 60,
            "image_id": i,
            "annotations": [],
        }
        for i in range(1, 5)
    ]
    DatasetCatalog.register(name, lambda: records)
    MetadataCatalog.get(name).set(
        json_file=str(coco_root / "coco.json"),
        evaluator_type="coco",
        thing_classes=NAMES,
        thing_dataset_id_to_contiguous_id={10: 0, 20: 1, 30: 2},
    )
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)
