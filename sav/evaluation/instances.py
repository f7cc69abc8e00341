"""The evaluator of instances: precision of boxes, masks and borders, and of scores."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sav.d2 import DatasetEvaluator, MetadataCatalog, comm
from sav.evaluation.detections_file import DetectionsFile
from sav.evaluation.instance_metrics import InstanceCounts, count_instances, instance_metrics
from sav.evaluation.matching import Matches
from sav.evaluation.photo import Detections, Truth
from sav.evaluation.records import truth_of


class InstanceEvaluator(DatasetEvaluator):
    """Matches each photo's instances at once, and keeps some numbers of each.

    So memory does not grow by masks, and several processes give the numbers of one bit by bit.

    Args:
        dataset_name: a registered part data set.
        records: those of the data set; the model's inputs carry no annotations.
        path: file to which the detections are written as COCO results.

    Attributes:
        matches: of masks, in the order of image ids, on the first process after :meth:`evaluate`.
    """

    matches: list[Matches]

    def __init__(self, dataset_name: str, records: Sequence[dict[str, Any]], path: Path) -> None:
        self._name = dataset_name
        self._records = {record["image_id"]: record for record in records}
        self._path = path
        metadata = MetadataCatalog.get(dataset_name)
        self._class_names = metadata.thing_classes
        dataset_ids = metadata.thing_dataset_id_to_contiguous_id
        self._category_ids = {class_id: id_ for id_, class_id in dataset_ids.items()}
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._counts: dict[Any, InstanceCounts] = {}
        self._file = DetectionsFile(self._path, self._category_ids)

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Match the instances of a batch.

        Args:
            inputs: the model's inputs, of which only "image_id" is read.
            outputs: for each "instances" with pred_masks, pred_boxes, pred_classes and scores.

        Raises:
            SAVError: an image is not in the data set.
        """
        for given, output in zip(inputs, outputs, strict=True):
            image_id = given["image_id"]
            truth = Truth.of(truth_of(self._records, image_id, self._name))
            found = Detections.of(output["instances"])
            self._counts[image_id] = count_instances(truth, found, len(self._class_names))
            self._file.add(image_id, found)

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Write the detections, and reduce the counts of all processes.

        Returns:
            :func:`~sav.evaluation.instance_metrics.instance_metrics`; empty on every process but
            the first.
        """
        self._file.write()
        counts = ChainMap(*comm.gather(self._counts))
        if not comm.is_main_process():
            return {}
        ordered = [counts[image_id] for image_id in sorted(counts)]
        self.matches = [photo.segm for photo in ordered]
        return instance_metrics(ordered, self._class_names)
