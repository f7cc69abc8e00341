"""How long evaluation takes, and how much memory, against pycocotools, on generated photos.

Both sides begin with the same dictionaries in memory and run in one thread, in turn; the least of
some rounds counts, as a machine may have other work. The seconds of the processor say more than
those of the clock, which others' work is in. Memory is the peak above what was there before, as
Linux tells it. What pycocotools has no task for is measured on some of the photos, and counted
for all. Run with ``python benchmarks/evaluation.py --photos 5000``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import pickle
import re
import time
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import faster_coco_eval
import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tabulate import tabulate

from sav.evaluation.average_precision import average_precision
from sav.evaluation.calibration import calibration
from sav.evaluation.instance_metrics import InstanceCounts, count_instances, instance_metrics
from sav.evaluation.matching import Matches, Sides, match
from sav.evaluation.metrics import confusion_matrix, part_metrics
from sav.evaluation.parts import truth_map
from sav.evaluation.photo import Detections, Truth, box_ious, mask_ious
from sav.evaluation.vehicle_metrics import VehicleParts, count_vehicles, vehicle_metrics
from sav.formats.crops import paint_labels
from sav.formats.masks import decode_codes, encode_mask
from sav.ontology import load_ontology

HEIGHT, WIDTH = 1024, 1365
ONTOLOGY = load_ontology("vehicleseg10k")
NAMES = ONTOLOGY.class_names
CLASSES = len(NAMES)
ANGLES = np.linspace(0, 2 * np.pi, 80, endpoint=False)
TASKS = ("segm", "bbox")
DIFFERENT = 500
"""Photos; of more than these, each comes again."""
SAMPLE = 40
"""Photos on which slow things are measured."""
VEHICLES = 3

Photo = tuple[dict[str, Any], list[dict[str, Any]]]
"""A record, and COCO results."""


class Cost(NamedTuple):
    """What a call takes: seconds of the processor and of the clock, and MB of memory at most."""

    processor: float
    clock: float
    memory: float

    def least(self, other: Cost) -> Cost:
        """Of two rounds; memory that the first one left is not taken again by the second."""
        return Cost(*map(min, self[:2], other[:2]), max(self.memory, other.memory))

    def then(self, other: Cost) -> Cost:
        """One after the other."""
        seconds = (a + b for a, b in zip(self[:2], other[:2], strict=True))
        return Cost(*seconds, max(self.memory, other.memory))

    def of_more(self, factor: float) -> Cost:
        """Of more photos."""
        return self._replace(processor=self.processor * factor, clock=self.clock * factor)


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
    for number in range(count):
        center = rng.uniform(0.2, 0.8, 2) * (WIDTH, HEIGHT)
        axes = rng.uniform(0.02, 0.12, 2) * (WIDTH, HEIGHT)
        category = int(rng.integers(CLASSES))
        vehicle = number % VEHICLES
        true = instance(center, axes, category)
        annotations.append({**true, "iscrowd": 0, "vehicle_id": vehicle})
        if rng.random() < 0.1:
            category = int(rng.integers(CLASSES))
        found = instance(center + rng.normal(0, 6, 2), axes, category)
        results.append({**found, "image_id": image_id, "score": rng.random()})
    record = {"image_id": image_id, "height": HEIGHT, "width": WIDTH, "annotations": annotations}
    return record, results


def make_photos(count: int, instances: int) -> list[Photo]:
    """With ids from 1."""
    rng = np.random.default_rng(0)
    made = [make_photo(rng, number, instances) for number in range(min(count, DIFFERENT))]
    photos = []
    for number in range(count):
        record, results = made[number % DIFFERENT]
        again = [{**result, "image_id": number + 1} for result in results]
        photos.append(({**record, "image_id": number + 1}, again))
    return photos


def coco_dataset(photos: Sequence[Photo], task: str) -> tuple[dict[str, Any], list[Any]]:
    """Annotations and results as COCO's evaluators want them, which add to them."""
    annotations = [{**a, "image_id": r["image_id"]} for r, _ in photos for a in r["annotations"]]
    truth = {
        "info": {},
        "images": [{"id": r["image_id"], "height": HEIGHT, "width": WIDTH} for r, _ in photos],
        "categories": [{"id": i, "name": n} for i, n in enumerate(NAMES)],
        "annotations": [{**a, "id": i} for i, a in enumerate(annotations, 1)],
    }
    other = "segmentation" if task == "bbox" else "bbox"
    found = [{k: v for k, v in r.items() if k != other} for _, results in photos for r in results]
    return truth, found


def reference(dataset: tuple[dict[str, Any], list[Any]], task: str) -> float:
    """AP of pycocotools; of borders, which it does not know, that of faster-coco-eval."""
    contents, found = dataset
    coco, evaluator, options = COCO, COCOeval, {}
    if task == "boundary":
        coco, evaluator = faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster
        options = {"print_function": str}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco()
        truth.dataset = contents
        truth.createIndex()
        evaluation = evaluator(truth, truth.loadRes(found), task, **options)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(100 * evaluation.stats[0])


def sides(photo: Photo) -> tuple[Truth, Detections]:
    """A photo in our form, its codes checked."""
    record, results = photo
    codes = [one["segmentation"] for one in results]
    classes = np.array([one["category_id"] for one in results])
    boxes = np.array([one["bbox"] for one in results])
    scores = np.array([one["score"] for one in results])
    return Truth.of(record), Detections(codes, classes, boxes, scores)


def match_photo(truth: Truth, found: Detections, task: str) -> Matches:
    """Those of one task."""
    true = truth.classes, truth.areas, truth.crowd
    if task == "bbox":
        iou, areas = box_ious(found.boxes, truth.boxes, truth.crowd), found.boxes[:, 2:].prod(1)
    else:
        iou, areas = mask_ious(found.codes, truth.codes, truth.crowd), found.masks.areas
    return match(iou, Sides(found.classes, found.scores, areas, *true), CLASSES)


def precisions(photos: Sequence[Photo]) -> dict[str, float]:
    """Our AP of each task; AR and calibration are computed, too."""
    matches: dict[str, list[Matches]] = {task: [] for task in TASKS}
    for photo in photos:
        truth, found = sides(photo)
        for task in TASKS:
            matches[task].append(match_photo(truth, found, task))
    calibration(matches["segm"])
    return {task: average_precision(matches[task], NAMES)["AP"] for task in TASKS}


def all_instances(photos: Sequence[Photo]) -> tuple[dict[str, Any], list[InstanceCounts]]:
    """All that `sav eval` says of instances, and what it keeps of the photos."""
    counts = [count_instances(*sides(photo), CLASSES) for photo in photos]
    return instance_metrics(counts, NAMES), counts


def everything(photos: Sequence[Photo], maps: Sequence[np.ndarray]) -> None:
    """All metrics of `sav eval`; what several need of a photo is made once, as there."""
    instances, confusions, vehicles = [], [], []
    ids = np.arange(max(len(results) for _, results in photos)) % VEHICLES
    for photo, label_map in zip(photos, maps, strict=True):
        truth, found = sides(photo)
        instances.append(count_instances(truth, found, CLASSES))
        confusions.append(confusion_matrix(truth_map(truth), label_map, CLASSES))
        predicted = VehicleParts.of_prediction(found, ids[: len(found.codes)])
        vehicles.append(count_vehicles(VehicleParts.of_truth(truth), predicted))
    instance_metrics(instances, NAMES)
    part_metrics(confusions, ONTOLOGY)
    vehicle_metrics(vehicles)


def cost(function: Callable[..., Any], *arguments: Any) -> tuple[Cost, Any]:
    """Of one call, and what it returns."""
    Path("/proc/self/clear_refs").write_text("5")  # what was the most memory so far
    before = memory("VmRSS")
    processor, clock = time.process_time(), time.perf_counter()
    result = function(*arguments)
    seconds = time.process_time() - processor, time.perf_counter() - clock
    return Cost(*seconds, memory("VmHWM") - before), result


def memory(name: str) -> float:
    """MB of this process: VmRSS, now; VmHWM, the most."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1024


def compare_tasks(photos: Sequence[Photo], rounds: int) -> tuple[Cost, Cost, Cost]:
    """Costs of masks and boxes by pycocotools, by us, and by us with borders."""
    rows = []
    for _ in range(rounds):
        with_borders, (metrics, _) = cost(all_instances, photos)
        ours, found = cost(precisions, photos)
        theirs = Cost(0, 0, 0)
        for task in TASKS:
            spent, expected = cost(reference, coco_dataset(photos, task), task)
            assert abs(found[task] - expected) < 1e-6
            assert found[task] == metrics[task]["AP"]
            theirs = theirs.then(spent)
        rows.append((theirs, ours, with_borders))
    theirs, ours, with_borders = (reduce(Cost.least, column) for column in zip(*rows, strict=True))
    return theirs, ours, with_borders


def reference_of_borders(photos: Sequence[Photo]) -> Cost:
    """Costs of the reference; its AP is ours."""
    spent, expected = cost(reference, coco_dataset(photos, "boundary"), "boundary")
    assert abs(all_instances(photos)[0]["boundary"]["AP"] - expected) < 1e-6
    return spent


def compare_encoding(photos: Sequence[Photo]) -> tuple[Cost, Cost]:
    """Costs of encoding a model's masks, as Detectron2 does it, and ours."""
    theirs = ours = Cost(0, 0, 0)
    for _, results in photos:
        codes = [one["segmentation"] for one in results]
        masks = np.ascontiguousarray(decode_codes(codes, HEIGHT, WIDTH))
        spent, _ = cost(lambda m: [coco_mask.encode(np.asfortranarray(x)) for x in m], masks)
        theirs = theirs.then(spent)
        spent, encoded = cost(lambda m: [encode_mask(x) for x in m], masks)
        ours = ours.then(spent)
        assert encoded == codes
    return theirs, ours


def label_map(results: Sequence[dict[str, Any]]) -> np.ndarray:
    """Of some results."""
    codes = [one["segmentation"] for one in results]
    return paint_labels(codes, [one["category_id"] + 1 for one in results], HEIGHT, WIDTH)


def row(name: str, theirs: Cost, ours: Cost) -> list[Any]:
    """Of the table."""
    pairs = zip(theirs[:2], ours[:2], strict=True)
    return [name, *(cell for a, b in pairs for cell in (a, b, a / b))]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="Measure the speed of evaluation.")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--instances", type=int, default=20, help="of a photo")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    photos = make_photos(args.photos, args.instances)
    few, sample = photos[: len(photos) // 5], photos[:SAMPLE]
    least = cost(all_instances, few)[0].memory
    theirs, ours, with_borders = compare_tasks(photos, args.rounds)
    factor = len(photos) / len(sample)
    borders = theirs.then(reference_of_borders(sample).of_more(factor))
    maps = [label_map(results) for _, results in sample]
    whole = cost(everything, sample, maps)[0].of_more(factor)
    rows = [
        row("masks, boxes, calibration", theirs, ours),
        row("and borders", borders, with_borders),
        row("and label maps, vehicles", borders, whole),
        row("encoding the masks found", *(c.of_more(factor) for c in compare_encoding(sample))),
    ]
    titles = ["seconds", "processor", "SAV", "ratio", "clock", "SAV", "ratio"]
    print(tabulate(rows, titles, floatfmt=".1f"))
    print(f"the others' borders, our label maps and the encoding: from {len(sample)} photos")
    kept = len(pickle.dumps(all_instances(sample)[1])) / len(sample) / args.instances
    print(f"{len(photos)} photos of {args.instances} instances; {kept:.0f} bytes of each are kept")
    print(
        f"memory: pycocotools {theirs.memory:.0f} MB, SAV {with_borders.memory:.0f} MB, "
        f"of {len(few)} photos {least:.0f} MB"
    )


if __name__ == "__main__":
    main()
