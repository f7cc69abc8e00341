"""The evaluator that scores label maps against the annotations of a registered data set."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from sav.d2 import DatasetCatalog, DatasetEvaluator, MetadataCatalog, comm
from sav.data.annotations import part_map_from_annotations
from sav.errors import SAVError
from sav.evaluation.metrics import confusion_matrix, dataset_metrics, instance_mean_iou
from sav.ontology import load_ontology

_SparseCounts = tuple[np.ndarray, np.ndarray]
"""Flat indices and values of the entries that are not zero; a photo fills few of them."""


class PartEvaluator(DatasetEvaluator):
    """Data-set level part metrics at the images' original resolution.

    The model's inputs carry no annotations, so the truth is taken from the catalog by image id.
    The counts of each image are kept apart until the end: several processes may then hold any
    number of images each, or the same image twice, and give the numbers of one process bit by bit.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        distributed: bool = True,
        records: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        """Look up the data set.

        Args:
            dataset_name: a registered part data set.
            distributed: gather the counts of all processes; otherwise score this process alone.
            records: those of the data set, where they are loaded already.
        """
        if records is None:
            records = DatasetCatalog.get(dataset_name)
        self._dataset_name = dataset_name
        self._distributed = distributed
        self._records = {record["image_id"]: record for record in records}
        self._ontology = load_ontology(MetadataCatalog.get(dataset_name).ontology)
        self._num_classes = len(self._ontology.classes)
        self._counts: dict[Any, _SparseCounts] = {}

    def reset(self) -> None:
        """Forget all images."""
        self._counts = {}

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Count the pixels of a batch.

        Args:
            inputs: the model's inputs, of which only "image_id" is read.
            outputs: for each "part_map", an integer tensor (H, W) of class id + 1, 0 background.

        Raises:
            SAVError: an image is not in the data set, or a map does not have the image's size.
        """
        for given, output in zip(inputs, outputs, strict=True):
            image_id = given["image_id"]
            if image_id not in self._records:
                raise SAVError(f"{self._dataset_name}: it holds no image with id {image_id}")
            truth = np.asarray(part_map_from_annotations(self._records[image_id]))
            prediction = output["part_map"].cpu().numpy()
            try:
                counts = confusion_matrix(truth, prediction, self._num_classes)
            except ValueError as error:
                raise SAVError(f"{self._dataset_name}: image {image_id}: {error}") from error
            self._counts[image_id] = _to_sparse(counts)

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Reduce the counts of all processes.

        Returns:
            {"parts": metrics in percent}, see :func:`~sav.evaluation.metrics.dataset_metrics`, plus
            "instance_mean_IoU". Empty on every process but the first.

        Raises:
            SAVError: no image was evaluated at all.
        """
        counts = self._counts
        if self._distributed:
            comm.synchronize()
            gathered = comm.gather(counts, dst=0)
            if not comm.is_main_process():
                return {}
            counts = {image_id: c for shard in gathered for image_id, c in shard.items()}
        if not counts:
            raise SAVError(f"{self._dataset_name}: no image was evaluated; is the data set empty?")
        if len(counts) < len(self._records):
            logging.getLogger(__name__).warning(
                "%s: only %d of %d images were evaluated",
                self._dataset_name,
                len(counts),
                len(self._records),
            )
        # In one order, whatever the number of processes: float sums depend on it.
        matrices = [self._to_dense(counts[image_id]) for image_id in sorted(counts)]
        metrics = dataset_metrics(np.sum(matrices, axis=0), self._ontology)
        metrics["instance_mean_IoU"] = instance_mean_iou(matrices)
        return {"parts": metrics}

    def _to_dense(self, sparse: _SparseCounts) -> np.ndarray:
        size = self._num_classes + 1
        matrix = np.zeros(size * size, dtype=np.int64)
        matrix[sparse[0]] = sparse[1]
        return matrix.reshape(size, size)


def _to_sparse(matrix: np.ndarray) -> _SparseCounts:
    flat = matrix.ravel()
    (index,) = flat.nonzero()
    return index.astype(np.int32), flat[index]
