"""The evaluator of vehicles; see :mod:`sav.evaluation.vehicle_metrics` for what it measures."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from typing import Any

from sav.d2 import DatasetEvaluator, comm
from sav.drawing.parts import CONFIDENT, keep_confident
from sav.evaluation.records import truth_of
from sav.evaluation.vehicle_metrics import (
    VehicleCounts,
    VehicleParts,
    count_vehicles,
    vehicle_metrics,
)


class VehicleEvaluator(DatasetEvaluator):
    """Grouping into vehicles over a data set, of the parts whose score is at least CONFIDENT.

    It keeps six numbers a photo, so several processes give the numbers of one bit by bit.

    Args:
        dataset_name: a registered part data set, for error messages.
        records: those of the data set; the model's inputs carry no annotations.
    """

    def __init__(self, dataset_name: str, records: Sequence[dict[str, Any]]) -> None:
        self._name = dataset_name
        self._records = {record["image_id"]: record for record in records}
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._counts: dict[Any, VehicleCounts] = {}

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Count the vehicles of a batch.

        Args:
            inputs: the model's inputs, of which only "image_id" is read.
            outputs: for each "instances" with pred_masks, pred_classes, scores and vehicle_ids.

        Raises:
            SAVError: an image is not in the data set.
        """
        for given, output in zip(inputs, outputs, strict=True):
            image_id = given["image_id"]
            truth = VehicleParts.of_truth(truth_of(self._records, image_id, self._name))
            shown = keep_confident(output["instances"], CONFIDENT)
            self._counts[image_id] = count_vehicles(truth, VehicleParts.of_prediction(shown))

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Reduce the counts of all processes.

        Returns:
            {"vehicles": :func:`vehicle_metrics`}; empty on every process but the first.
        """
        counts = ChainMap(*comm.gather(self._counts))
        if not comm.is_main_process():
            return {}
        # In one order, whatever the number of processes: float sums depend on it.
        return {"vehicles": vehicle_metrics(counts[image_id] for image_id in sorted(counts))}
