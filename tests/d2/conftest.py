import json

import numpy as np
import pytest
from PIL import Image

from sav.d2 import DatasetCatalog, MetadataCatalog, load_coco_json

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
    path = coco_root / "coco.json"
    DatasetCatalog.register(name, lambda: load_coco_json(str(path), str(coco_root), name))
    MetadataCatalog.get(name).set(json_file=str(path), evaluator_type="coco")
    DatasetCatalog.get(name)
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)
