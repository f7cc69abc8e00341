"""How well parts are grouped into vehicles, on the photos of a data set that show several.

The rule alone, on the annotated parts; the model; and the model with the vehicles' boxes given::

    sav synth --ontology vehicle --out synth --train 0 --valid 140 --size 320
    sav prepare vehicleseg10k --root synth --ontology vehicle --splits valid
    python benchmarks/grouping.py synth/coco/instances_valid.json --photos 30
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as coco_mask
from tabulate import tabulate
from tqdm import tqdm

from sav import SAVPredictor
from sav.evaluation.photo import Detections, Truth
from sav.evaluation.vehicle_metrics import VehicleParts, count_vehicles, vehicle_metrics
from sav.formats.coco import read_coco
from sav.modeling.grouping import VehicleKinds, group_into_vehicles
from sav.run_folder import SHIPPED


def read_photos(file: Path) -> list[tuple[Path, Truth]]:
    """The photos with several vehicles."""
    contents = read_coco(file)
    folder = file.parent / contents["info"]["image_root"]
    photos = []
    for image in contents["images"]:
        own = [a for a in contents["annotations"] if a["image_id"] == image["id"]]
        own = [{**a, "category_id": a["category_id"] - 1} for a in own]
        if len({a["vehicle_id"] for a in own}) > 1:
            path = folder / image["file_name"]
            photos.append((path, Truth.of({**image, "file_name": str(path), "annotations": own})))
    return photos


def xyxy(boxes: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) by their corners."""
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def vehicle_boxes(truth: Truth) -> np.ndarray:
    """(M, 4) XYXY."""
    wholes = [
        coco_mask.merge([truth.codes[i] for i in np.flatnonzero(truth.vehicles == vehicle)])
        for vehicle in np.unique(truth.vehicles)
    ]
    return xyxy(coco_mask.toBbox(wholes))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path, help="part annotations with vehicles")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="run folder")
    parser.add_argument("--photos", type=int, default=30, help="at most")
    args = parser.parse_args()
    predictor = SAVPredictor.from_pretrained(args.model, "cpu")
    kinds = VehicleKinds.of(predictor.ontology)
    counts: dict[str, list] = {"annotated parts": [], "predicted": [], "predicted, boxes given": []}
    several = dict.fromkeys(counts, 0)
    for path, truth in tqdm(read_photos(args.annotations)[: args.photos]):
        corners, classes = torch.tensor(xyxy(truth.boxes)), torch.tensor(truth.classes)
        rule = group_into_vehicles(corners.float(), classes, torch.ones(len(classes)), kinds)
        sides = [VehicleParts.of(truth.codes, truth.classes, rule.numpy())]
        for boxes in (None, vehicle_boxes(truth)):
            parts = predictor(path, boxes=boxes)
            found = Detections.of(parts)
            sides.append(VehicleParts.of_prediction(found, parts.vehicle_ids.numpy()))
        for name, side in zip(counts, sides, strict=True):
            counts[name].append(count_vehicles(VehicleParts.of_truth(truth), side))
            several[name] += len(np.unique(side.vehicles)) > 1
    rows = [
        [name, *(f"{value:.1f}" for value in vehicle_metrics(own).values()), several[name]]
        for name, own in counts.items()
    ]
    print(f"{len(counts['predicted'])} photos with several vehicles")
    print(tabulate(rows, ["", "F1", "PQ", "photos with several found"]))


if __name__ == "__main__":
    main()
