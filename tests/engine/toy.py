"""Photos so few and a model so small that whole trainings fit in a test."""

import json

import cv2
import numpy as np
from pycocotools import mask as rle

from sav.engine.arguments import argument_parser
from sav.engine.run import main
from sav.ontology import load_ontology

CONFIG = """
INPUT: {SAV: {SIZE: 64}}
DATASETS:
  PARTS: {toy_train: toy/train.json, toy_valid: toy/valid.json}
  TRAIN: ("toy_train",)
  TEST: ("toy_valid",)
MODEL:
  DEVICE: cpu
  TIMM: {OPTIONS: {channels: [8, 8, 16, 16]}}
  SAV: {DECODER: {MLP_DIM: 32}, LOSS: {POINTS: 64}, CONTEXT: {SHARE: 1.0, THINNING: 2}}
DATALOADER: {NUM_WORKERS: 0, ASPECT_RATIO_GROUPING: False}
SOLVER:
  IMS_PER_BATCH: 4
  BASE_LR: 0.001
  MAX_ITER: 6
  CHECKPOINT_PERIOD: 3
  WARMUP_ITERS: 2
  LR_SCHEDULER_NAME: WarmupCosineLR
  CLIP_GRADIENTS: {ENABLED: True, CLIP_TYPE: full_model, CLIP_VALUE: 1.0}
SEED: 3
"""


def draw(folder, split, count):
    """Photos of a box with a wheel, as a COCO part file."""
    ontology = load_ontology("vehicleseg10k")
    rng = np.random.default_rng(len(split))
    images, annotations = [], []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for index in range(1, count + 1):
        photo = np.full((48, 64, 3), 90, np.uint8)
        x = int(rng.integers(2, 20))
        masks = {"Foreground": np.zeros((48, 64), np.uint8), "Wheel": np.zeros((48, 64), np.uint8)}
        cv2.rectangle(masks["Foreground"], (x, 12), (x + 36, 32), 1, -1)
        cv2.circle(masks["Wheel"], (x + 10, 34), 6, 1, -1)
        masks["Foreground"][masks["Wheel"] > 0] = 0
        photo[masks["Foreground"] > 0] = (200, 60, 40)
        photo[masks["Wheel"] > 0] = (20, 20, 20)
        name = f"{split}{index}.png"
        cv2.imwrite(str(folder / "images" / name), photo)
        images.append({"id": index, "file_name": name, "width": 64, "height": 48})
        for part, mask in masks.items():
            code = rle.encode(np.asfortranarray(mask))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": ontology.class_id(part) + 1,
                    "bbox": rle.toBbox(code).tolist(),
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                    "segmentation": {"size": [48, 64], "counts": code["counts"].decode()},
                    "vehicle_id": 0,
                }
            )
    names = ontology.class_names
    contents = {
        "info": {"ontology": "vehicleseg10k", "image_root": "images"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
    }
    (folder / f"{split}.json").write_text(json.dumps(contents))


def arguments(root, output, *options, flags=()):
    return argument_parser().parse_args(
        [
            "--config-file",
            str(root / "toy.yaml"),
            *flags,
            "OUTPUT_DIR",
            str(output),
            "DATASETS.ROOT",
            str(root),
            *options,
        ]
    )


def run(root, output, *options, flags=()):
    return main(arguments(root, output, *options, flags=flags))
