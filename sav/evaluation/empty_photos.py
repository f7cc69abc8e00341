"""The evaluator of photos without a vehicle: what is seen where nothing is."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from typing import Any

from sav.d2 import DatasetEvaluator, comm
from sav.drawing.parts import CONFIDENT, keep_confident
from sav.evaluation.records import truth_of


class EmptyPhotosEvaluator(DatasetEvaluator):
    """Counts the parts that are found, with a score of at least CONFIDENT, in unannotated photos.

    Args:
        dataset_name: a registered part data set, for error messages.
        records: those of the data set; the model's inputs carry no annotations.
    """

    def __init__(self, dataset_name: str, records: Sequence[dict[str, Any]]) -> None:
        self._name = dataset_name
        self._is_empty = {record["image_id"]: not record["annotations"] for record in records}
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._parts: dict[Any, int] = {}

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Count the parts of a batch.

        Args:
            inputs: the model's inputs, of which only "image_id" is read.
            outputs: for each "instances" with scores.

        Raises:
            SAVError: an image is not in the data set.
        """
        for given, output in zip(inputs, outputs, strict=True):
            image_id = given["image_id"]
            if truth_of(self._is_empty, image_id, self._name):
                self._parts[image_id] = len(keep_confident(output["instances"], CONFIDENT))

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Add up the counts of all processes.

        Returns:
            {"empty": "photos" without annotations, of these the "photos_with_parts", and their
            "parts"}. Empty where there are no such photos, and on every process but the first.
        """
        counts = [*ChainMap(*comm.gather(self._parts)).values()]
        if not comm.is_main_process() or not counts:
            return {}
        found = sum(count > 0 for count in counts)
        return {"empty": {"photos": len(counts), "photos_with_parts": found, "parts": sum(counts)}}
