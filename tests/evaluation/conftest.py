import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sav.config import add_sav_config
from sav.d2 import Boxes, CfgNode, DatasetCatalog, Instances, MetadataCatalog, get_cfg
from sav.data.annotations import load_instance_masks, part_map_from_annotations
from sav.data.registration import register_part_datasets
from sav.formats.masks import encode_mask, mask_box
from sav.ontology import load_ontology

NAME = "made_up_parts"
FOREGROUND, WHEEL, LEFT_DOOR = 0, 2, 6


@dataclass
class Dataset:
    """A registered data set whose truth can be had as predictions."""

    name: str
    cfg: CfgNode
    records: list

    @property
    def run(self):
        return Path(self.cfg.OUTPUT_DIR)

    def perfect(self, record):
        masks, classes, vehicle_ids = load_instance_masks(record)
        parts = Instances((record["height"], record["width"]))
        parts.pred_masks = torch.from_numpy(masks.astype(bool))
        parts.pred_boxes = Boxes(torch.tensor([mask_box(mask) for mask in masks]).float())
        parts.scores = torch.linspace(0.9, 0.7, len(masks))
        parts.pred_classes = torch.from_numpy(classes)
        parts.vehicle_ids = torch.from_numpy(vehicle_ids)
        part_map = torch.from_numpy(part_map_from_annotations(record))
        return {"instances": parts, "part_map": part_map}

    def nothing(self, record):
        output = self.perfect(record)
        return {
            "instances": output["instances"][:0],
            "part_map": torch.zeros_like(output["part_map"]),
        }


def write_image(folder, index):
    """A car of three rectangles; photos differ in height and in the place of the wheel."""
    height, width = 60 + 8 * index, 96
    pixels = np.full((height, width, 3), 90 + 10 * index, np.uint8)
    Image.fromarray(pixels).save(folder / "images" / f"{index}.png")
    boxes = {
        FOREGROUND: (10, 10, 80, 50),
        WHEEL: (15 + index, 40, 30 + index, 55),
        LEFT_DOOR: (40, 15, 60, 35),
    }
    annotations = []
    for class_id, (x0, y0, x1, y1) in boxes.items():
        mask = np.zeros((height, width), np.uint8)
        mask[y0:y1, x0:x1] = 1
        annotations.append(
            {
                "image_id": index + 1,
                "category_id": class_id + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": int(mask.sum()),
                "iscrowd": 0,
                "segmentation": encode_mask(mask),
                "vehicle_id": 0,
            }
        )
    image = {"id": index + 1, "file_name": f"{index}.png", "width": width, "height": height}
    return image, annotations


@pytest.fixture
def dataset(tmp_path):
    (tmp_path / "images").mkdir()
    written = [write_image(tmp_path, index) for index in range(5)]
    annotations = [a for _, entries in written for a in entries]
    ontology = load_ontology("vehicleseg10k")
    contents = {
        "info": {"ontology": ontology.name, "image_root": "images"},
        "categories": [{"id": i, "name": n} for i, n in enumerate(ontology.class_names, 1)],
        "images": [image for image, _ in written],
        "annotations": [{"id": i, **a} for i, a in enumerate(annotations, 1)],
    }
    (tmp_path / "instances.json").write_text(json.dumps(contents))
    cfg = get_cfg()
    add_sav_config(cfg)
    cfg.DATASETS.ROOT = str(tmp_path)
    cfg.DATASETS.PARTS[NAME] = "instances.json"
    cfg.DATASETS.TRAIN = ()
    cfg.DATASETS.TEST = (NAME,)
    cfg.OUTPUT_DIR = str(tmp_path / "run")
    register_part_datasets(cfg)
    yield Dataset(NAME, cfg, DatasetCatalog.get(NAME))
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)
