"""How well parts are found and grouped into vehicles: pairwise F1 and part-aware panoptic quality.

**F1** judges the grouping alone. A predicted part matches an annotated one of its class at a mask
IoU of at least 0.5: the best score chooses first, each annotated part is taken once. Every two
matched parts of a photo are a pair, which is right where both are of one vehicle in the truth and
in the prediction. F1 is 2 R / (T + P) with R right pairs, T pairs of one vehicle in the truth and P
in the prediction, all summed over the data set. Parts that are not found are in no pair.

**PQ** judges whole vehicles, after PartPQ of "Part-aware Panoptic Segmentation" (arXiv 2106.06351).
A vehicle's mask is the union of its parts. Vehicles match at a mask IoU above 0.5, the highest IoU
first, each once. The quality of a match is its mean IoU over the classes that either vehicle shows,
each the union of the vehicle's parts of that class; a class that one lacks has IoU 0. PQ is the sum
of these over TP + FP / 2 + FN / 2, which is half the number of all annotated and predicted
vehicles. Unlike there, the masks of two vehicles may overlap.

The truth is "vehicle_id" of the annotations, crowds left out. Where a data set has none, all ids
are 0 and each photo is one vehicle.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from sav.evaluation.photo import Detections, Truth
from sav.formats.masks import Code

_MATCH = 0.5


@dataclass(frozen=True)
class VehicleParts:
    """The parts of a photo, annotated or predicted.

    Attributes:
        codes: N masks, none empty.
        classes: (N,) int64.
        vehicles: (N,) int64, equal for parts of one vehicle.
    """

    codes: Sequence[Code]
    classes: np.ndarray
    vehicles: np.ndarray

    @classmethod
    def of(cls, codes: Sequence[Code], classes: np.ndarray, ids: np.ndarray) -> VehicleParts:
        """From N masks; those without a pixel are left out."""
        kept = [index for index, code in enumerate(codes) if coco_mask.area(code)]
        return cls([codes[index] for index in kept], classes[kept], ids[kept])

    @classmethod
    def of_truth(cls, truth: Truth) -> VehicleParts:
        """From the annotated parts, without crowds."""
        return cls._of_some(truth, np.flatnonzero(~truth.crowd), truth.vehicles)

    @classmethod
    def of_prediction(cls, found: Detections, vehicles: np.ndarray) -> VehicleParts:
        """From the detections that are shown, the best score first; vehicles are (N,) int64."""
        best_first = found.shown[np.argsort(-found.scores[found.shown], kind="stable")]
        return cls._of_some(found, best_first, vehicles)

    @classmethod
    def _of_some(
        cls, side: Truth | Detections, places: np.ndarray, vehicles: np.ndarray
    ) -> VehicleParts:
        codes = [side.codes[place] for place in places]
        return cls.of(codes, side.classes[places], vehicles[places])

    def by_vehicle(self) -> list[dict[int, Code]]:
        """Of each vehicle, in the order of the ids, the union of its parts by class."""
        vehicles: dict[int, dict[int, list[Code]]] = {}
        rows = zip(self.vehicles.tolist(), self.classes.tolist(), self.codes, strict=True)
        for vehicle, class_id, code in rows:
            vehicles.setdefault(vehicle, {}).setdefault(class_id, []).append(code)
        return [
            {class_id: coco_mask.merge(codes) for class_id, codes in parts.items()}
            for _, parts in sorted(vehicles.items())
        ]


class VehicleCounts(NamedTuple):
    """What a photo adds to the sums; see the module for the words.

    Attributes:
        right_pairs: R.
        true_pairs: T.
        predicted_pairs: P.
        part_iou: sum over matched vehicles of the mean IoU of their classes, in [0, 1] each.
        true_vehicles: TP + FN.
        predicted_vehicles: TP + FP.
    """

    right_pairs: int
    true_pairs: int
    predicted_pairs: int
    part_iou: float
    true_vehicles: int
    predicted_vehicles: int


def count_vehicles(truth: VehicleParts, prediction: VehicleParts) -> VehicleCounts:
    """Compare the parts and vehicles of one photo; predictions come best first."""
    pairs = list(_match_parts(truth, prediction))
    in_truth = _pairs(truth.vehicles[[true for true, _ in pairs]])
    predicted = _pairs(prediction.vehicles[[found for _, found in pairs]])
    theirs, ours = truth.by_vehicle(), prediction.by_vehicle()
    wholes = [[coco_mask.merge(list(v.values())) for v in side] for side in (ours, theirs)]
    matches = _match_vehicles(_iou(*wholes))
    return VehicleCounts(
        right_pairs=int((in_truth & predicted).sum()),
        true_pairs=int(in_truth.sum()),
        predicted_pairs=int(predicted.sum()),
        part_iou=sum(_part_iou(ours[found], theirs[true]) for found, true in matches),
        true_vehicles=len(theirs),
        predicted_vehicles=len(ours),
    )


def vehicle_metrics(counts: Iterable[VehicleCounts]) -> dict[str, float]:
    """Metrics of a data set, from the counts of its photos.

    Returns:
        "F1" and "PQ" in percent. F1 is NaN where no two matched parts are of one vehicle, in the
        truth or in the prediction; PQ is NaN where no vehicle is annotated and none predicted.
    """
    rows = np.array(list(counts), dtype=np.float64).reshape(-1, len(VehicleCounts._fields))
    total = VehicleCounts(*rows.sum(axis=0).tolist())
    pairs = total.true_pairs + total.predicted_pairs
    vehicles = total.true_vehicles + total.predicted_vehicles
    return {
        "F1": 200 * total.right_pairs / pairs if pairs else math.nan,
        "PQ": 200 * total.part_iou / vehicles if vehicles else math.nan,
    }


def _match_parts(truth: VehicleParts, prediction: VehicleParts) -> Iterator[tuple[int, int]]:
    """Annotated and predicted parts that match."""
    iou = _iou(prediction.codes, truth.codes)
    iou[prediction.classes[:, None] != truth.classes] = 0
    for found, row in enumerate(iou):
        if row.size and row.max() >= _MATCH:
            true = int(row.argmax())
            iou[:, true] = 0
            yield true, found


def _match_vehicles(iou: np.ndarray) -> Iterator[tuple[int, int]]:
    """Rows and columns of `iou` that match."""
    iou = iou.copy()
    while iou.size and iou.max() > _MATCH:
        found, true = divmod(int(iou.argmax()), iou.shape[1])
        iou[found], iou[:, true] = 0, 0
        yield found, true


def _pairs(vehicles: np.ndarray) -> np.ndarray:
    """(n, n) bool: above the diagonal, whether two parts are of one vehicle."""
    return np.triu(vehicles[:, None] == vehicles, k=1)


def _part_iou(ours: dict[int, Code], theirs: dict[int, Code]) -> float:
    """Mean IoU over the classes of either vehicle."""
    shared = ours.keys() & theirs.keys()
    return sum(_iou([ours[c]], [theirs[c]]).item() for c in sorted(shared)) / len(ours | theirs)


def _iou(ours: Sequence[Code], theirs: Sequence[Code]) -> np.ndarray:
    """(n, m) float64."""
    found = coco_mask.iou(ours, theirs, [0] * len(theirs)) if ours and theirs else []
    return np.array(found, dtype=np.float64).reshape(len(ours), len(theirs))
