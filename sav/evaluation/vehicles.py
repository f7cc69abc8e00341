"""The evaluator of vehicles; see :mod:`sav.evaluation.vehicle_metrics` for what it measures."""

from __future__ import annotations

from collections import ChainMap
from typing import Any

from sav.d2 import comm
from sav.evaluation.evaluator import Photo, PhotoEvaluator
from sav.evaluation.vehicle_metrics import (
    VehicleCounts,
    VehicleParts,
    count_vehicles,
    vehicle_metrics,
)


class VehicleEvaluator(PhotoEvaluator):
    """Grouping into vehicles over a data set, of the parts whose score is at least CONFIDENT.

    It keeps six numbers a photo, so several processes give the numbers of one bit by bit.
    """

    def reset(self) -> None:
        """Forget all images."""
        self._counts: dict[Any, VehicleCounts] = {}

    def add(self, photo: Photo) -> None:
        """Count the vehicles of a photo."""
        truth = VehicleParts.of_truth(photo.truth)
        found = VehicleParts.of_prediction(photo.found, photo.instances.vehicle_ids.numpy())
        self._counts[photo.image_id] = count_vehicles(truth, found)

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
