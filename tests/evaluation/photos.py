"""Small random photos with annotations and detections, also as COCO's files have them."""

import contextlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sav.evaluation.photo import Detections, Truth
from sav.formats.masks import encode_mask

NAMES = ["wheel", "door", "plate", "lamp"]
"""No photo shows the last one."""


def random_mask(rng, size):
    """A rectangle, now and then without a pixel or as large as the photo."""
    height, width = size
    mask = np.zeros(size, dtype=bool)
    if rng.random() < 0.05:
        mask[:] = rng.random() < 0.5
        return mask
    y, x = int(rng.integers(height)), int(rng.integers(width))
    mask[y : y + int(rng.integers(1, height)), x : x + int(rng.integers(1, width))] = True
    return mask


def beside(rng, mask):
    """A mask moved by some pixels."""
    return np.roll(mask, rng.integers(-3, 4, 2), (0, 1))


def random_photo(rng, image_id, *, crowds=True, most=8):
    """A record and COCO results; scores are tenths, so some are equal."""
    size = int(rng.integers(20, 140)), int(rng.integers(20, 140))
    annotations, results = [], []
    for _ in range(int(rng.integers(0, most))):
        mask = random_mask(rng, size)
        if not mask.any():
            continue
        code = encode_mask(mask)
        category = int(rng.integers(3))
        annotations.append(
            {
                "category_id": category,
                "segmentation": code,
                "bbox": coco_mask.toBbox(code).tolist(),
                "area": float(coco_mask.area(code)) * float(rng.choice([1, 0.7])),
                "iscrowd": int(crowds and rng.random() < 0.2),
            }
        )
        for _ in range(int(rng.integers(0, 4))):
            results.append(result(rng, image_id, beside(rng, mask), category))
    for _ in range(int(rng.integers(0, most))):
        results.append(result(rng, image_id, random_mask(rng, size), int(rng.integers(4))))
    record = {"image_id": image_id, "height": size[0], "width": size[1]}
    return {**record, "file_name": f"{image_id}.png", "annotations": annotations}, results


def result(rng, image_id, mask, category):
    code = encode_mask(mask)
    return {
        "image_id": image_id,
        "category_id": category if rng.random() < 0.9 else 3,
        "segmentation": code,
        "bbox": coco_mask.toBbox(code).tolist(),
        "score": int(rng.integers(0, 11)) / 10,
    }


def detections(results):
    return Detections(
        [r["segmentation"] for r in results],
        np.array([r["category_id"] for r in results], dtype=np.int64),
        np.array([r["bbox"] for r in results], dtype=float).reshape(-1, 4),
        np.array([r["score"] for r in results], dtype=float),
    )


def both_sides(photos):
    return [(Truth.of(record), detections(results)) for record, results in photos]


def coco_evaluation(photos, task, evaluation=COCOeval, coco=COCO, **options):
    """What the reference makes of the same photos."""
    keys = ("image_id", "height", "width", "file_name")
    annotations = [
        {**a, "image_id": record["image_id"]} for record, _ in photos for a in record["annotations"]
    ]
    content = {
        "images": [{**{k: r[k] for k in keys}, "id": r["image_id"]} for r, _ in photos],
        "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES)],
        "annotations": [{"id": i, **a} for i, a in enumerate(annotations, 1)],
    }
    other = "bbox" if task != "bbox" else "segmentation"
    found = [{k: v for k, v in r.items() if k != other} for _, rs in photos for r in rs]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "truth.json"
        path.write_text(json.dumps(content))
        truth = coco(str(path))
        done = evaluation(truth, truth.loadRes(found) if found else coco(), task, **options)
        done.evaluate()
        done.accumulate()
        done.summarize()
    return done
