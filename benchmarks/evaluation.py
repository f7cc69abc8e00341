"""How long evaluation takes, against pycocotools, on generated annotations and detections.

Both sides begin with the same dictionaries in memory and run in one thread. The figures are seconds
of the processor, the least of three rounds, as a machine may have other work. Run with
``python benchmarks/evaluation.py --photos 5000``.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import pickle
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tabulate import tabulate

from sav.evaluation.average_precision import average_precision
from sav.evaluation.boundary import border_ious
from sav.evaluation.calibration import calibration
from sav.evaluation.instance_metrics import count_instances, instance_metrics
from sav.evaluation.matching import Matches, Sides, match
from sav.evaluation.metrics import confusion_matrix, part_metrics
from sav.evaluation.parts import truth_map
from sav.evaluation.photo import Detections, Truth, box_ious, mask_ious
from sav.formats.crops import paint_labels
from sav.ontology import load_ontology

HEIGHT, WIDTH = 1024, 1365
ONTOLOGY = load_ontology("vehicleseg10k")
CLASSES = len(ONTOLOGY)
ROUNDS = 3
ANGLES = np.linspace(0, 2 * np.pi, 80, endpoint=False)

Photo = tuple[dict[str, Any], list[dict[str, Any]]]
"""A record, and COCO results."""


def instance(center: np.ndarray, axes: np.ndarray, category: int) -> dict[str, Any]:
    """An ellipse."""
    outline = center + axes * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    code = coco_mask.merge(coco_mask.frPyObjects([outline.ravel().tolist()], HEIGHT, WIDTH))
    code["counts"] = code["counts"].decode("ascii")
    box, area = coco_mask.toBbox(code).tolist(), float(coco_mask.area(code))
    return {"category_id": category, "segmentation": code, "bbox": box, "area": area}


def make_photo(rng: np.random.Generator, image_id: int, count: int) -> Photo:
    """Instances, and detections some pixels beside them; a tenth has another class."""
    annotations, results = [], []
    for _ in range(count):
        center = rng.uniform(0.2, 0.8, 2) * (WIDTH, HEIGHT)
        axes = rng.uniform(0.02, 0.12, 2) * (WIDTH, HEIGHT)
        category = int(rng.integers(CLASSES))
        annotations.append({**instance(center, axes, category), "iscrowd": 0})
        if rng.random() < 0.1:
            category = int(rng.integers(CLASSES))
        found = instance(center + rng.normal(0, 6, 2), axes, category)
        results.append({**found, "image_id": image_id, "score": rng.random()})
    record = {"image_id": image_id, "height": HEIGHT, "width": WIDTH, "annotations": annotations}
    return record, results


def seconds(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Least processor time of some calls, and what they return."""
    times = []
    for _ in range(ROUNDS):
        given = copy.deepcopy(arguments)  # pycocotools adds to it
        start = time.process_time()
        result = function(*given)
        times.append(time.process_time() - start)
    return min(times), result


def reference(photos: list[Photo], task: str) -> float:
    """AP of pycocotools."""
    truth = COCO()
    annotations = [{**a, "image_id": r["image_id"]} for r, _ in photos for a in r["annotations"]]
    truth.dataset = {
        "images": [{**r, "id": r["image_id"]} for r, _ in photos],
        "categories": [{"id": i, "name": n} for i, n in enumerate(ONTOLOGY.class_names)],
        "annotations": [{**a, "id": i} for i, a in enumerate(annotations, 1)],
    }
    other = "bbox" if task == "segm" else "segmentation"
    found = [{k: v for k, v in r.items() if k != other} for _, results in photos for r in results]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(100 * evaluation.stats[0])


def sides(photo: Photo) -> tuple[Truth, Detections]:
    """A photo in our form."""
    record, results = photo
    codes = [one["segmentation"] for one in results]
    classes = np.array([one["category_id"] for one in results])
    boxes = np.array([one["bbox"] for one in results])
    return Truth.of(record), Detections(
        codes, classes, boxes, np.array([r["score"] for r in results])
    )


def match_photo(truth: Truth, found: Detections, task: str) -> Matches:
    """Those of one task alone."""
    true = truth.classes, truth.areas, truth.crowd
    if task == "bbox":
        iou, areas = box_ious(found.boxes, truth.boxes, truth.crowd), found.boxes[:, 2:].prod(1)
    else:
        iou = mask_ious(found.codes, truth.codes, truth.crowd)
        areas = np.array([coco_mask.area(code) for code in found.codes], dtype=np.float64)
    if task == "boundary":
        iou = np.minimum(iou, border_ious(truth, found, iou))
    return match(iou, Sides(found.classes, found.scores, areas, *true), CLASSES)


def precision(photos: list[tuple[Truth, Detections]], task: str) -> float:
    """Our AP."""
    matches = [match_photo(*photo, task) for photo in photos]
    calibration(matches)
    return average_precision(matches, ONTOLOGY.class_names)["AP"]


def all_instances(photos: list[tuple[Truth, Detections]]) -> list[Any]:
    """Counts of all that `sav eval` says of instances."""
    counts = [count_instances(*photo, CLASSES) for photo in photos]
    instance_metrics(counts, ONTOLOGY.class_names)
    return counts


def label_maps(photos: list[Photo], predictions: list[np.ndarray]) -> float:
    """MIoU."""
    maps = zip(photos, predictions, strict=True)
    counts = (confusion_matrix(truth_map(photo[0]), found, CLASSES) for photo, found in maps)
    return part_metrics(counts, ONTOLOGY)["mIoU"]


def painted(results: list[dict[str, Any]]) -> np.ndarray:
    """The label map of some results."""
    codes = [one["segmentation"] for one in results]
    labels = [one["category_id"] + 1 for one in results]
    return np.ascontiguousarray(paint_labels(codes, labels, HEIGHT, WIDTH))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Measure the speed of evaluation.")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--instances", type=int, default=20, help="of a photo")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    photos = [make_photo(rng, number, args.instances) for number in range(1, args.photos + 1)]
    reading, read = seconds(lambda given: [sides(photo) for photo in given], photos)
    rows = [["checks of the annotations' codes", None, reading]]
    for name, task in (("masks", "segm"), ("boxes", "bbox")):
        theirs, expected = seconds(reference, photos, task)
        ours, found = seconds(precision, read, task)
        assert abs(expected - found) < 1e-6, (expected, found)
        rows.append([f"AP of {name}, calibration", theirs, ours, theirs / ours])
    borders, _ = seconds(precision, read, "boundary")
    rows.append(["AP of masks and borders", None, borders])
    everything, counts = seconds(all_instances, read)
    rows.append(["all metrics of instances", None, everything])
    some = photos[:50]
    predictions = [painted(results) for _, results in some]
    maps, _ = seconds(label_maps, some, predictions)
    rows.append(["metrics of label maps", None, maps * len(photos) / len(some)])
    titles = ["processor seconds", "pycocotools", "SAV", "ratio"]
    print(tabulate(rows, titles, floatfmt=".2f", missingval=""))
    instances = args.photos * args.instances
    kept = len(pickle.dumps(counts)) / instances
    print(f"{args.photos} photos, {instances} instances; {kept:.0f} bytes of each are kept")


if __name__ == "__main__":
    main()
