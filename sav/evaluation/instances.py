"""The evaluator of instances: precision of boxes, masks and borders, and of scores."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sav.d2 import MetadataCatalog, comm
from sav.evaluation.detections_file import DetectionsFile
from sav.evaluation.evaluator import Photo, PhotoEvaluator
from sav.evaluation.instance_metrics import InstanceCounts, count_instances, instance_metrics
from sav.evaluation.matching import Matches


class InstanceEvaluator(PhotoEvaluator):
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
        self._path = path
        metadata = MetadataCatalog.get(dataset_name)
        self._class_names = metadata.thing_classes
        dataset_ids = metadata.thing_dataset_id_to_contiguous_id
        self._category_ids = {class_id: id_ for id_, class_id in dataset_ids.items()}
        super().__init__(dataset_name, records)

    def reset(self) -> None:
        """Forget all images."""
        self._counts: dict[Any, InstanceCounts] = {}
        self._file = DetectionsFile(self._path, self._category_ids)

    def add(self, photo: Photo) -> None:
        """Match the instances of a photo."""
        counts = count_instances(photo.truth, photo.found, len(self._class_names))
        self._counts[photo.image_id] = counts
        self._file.add(photo.image_id, photo.found)

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
