"""The evaluator of label maps against the annotations of a part data set."""

from __future__ import annotations

import functools
import logging
import operator
from collections import ChainMap
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from scipy.sparse import csr_array

from sav.d2 import DatasetEvaluator, MetadataCatalog, comm
from sav.data.annotations import load_instance_codes, part_map_from_annotations
from sav.errors import SAVError
from sav.evaluation.metrics import IGNORED, confusion_matrix, part_metrics
from sav.evaluation.records import truth_of
from sav.formats.crops import decode_crop
from sav.ontology import load_ontology

logger = logging.getLogger(__name__)


def truth_map(record: dict[str, Any]) -> np.ndarray:
    """Draw the label map of a record's truth, the larger instances first.

    Returns:
        (H, W) uint8: class id + 1; IGNORED in a crowd where no instance lies; 0 elsewhere.
    """
    labels = part_map_from_annotations(record)
    if any(a.get("iscrowd", 0) for a in record["annotations"]):
        codes, _, _ = load_instance_codes(record, crowds=True)
        for annotation, code in zip(record["annotations"], codes, strict=True):
            if annotation.get("iscrowd", 0):
                crop = decode_crop(code)
                view = labels[crop.window()]
                view[crop.mask & (view == 0)] = IGNORED
    # Both maps row by row; OpenCV turns them round five times as fast as numpy.
    return cv2.transpose(labels.T)


class PartEvaluator(DatasetEvaluator):
    """Data-set level part metrics at the images' original resolution.

    The model's inputs carry no annotations, so the truth is taken by image id from the records of
    the registered data set. The counts of each image are kept apart until the end: several
    processes may then hold any number of images each, or the same image twice, and give the
    numbers of one process bit by bit.

    Attributes:
        confusion: (C + 1, C + 1) counts of the data set, on the first process after
            :meth:`evaluate`.
    """

    confusion: np.ndarray

    def __init__(self, dataset_name: str, records: Sequence[dict[str, Any]]) -> None:
        self._name = dataset_name
        self._records = {record["image_id"]: record for record in records}
        self._ontology = load_ontology(MetadataCatalog.get(dataset_name).ontology)
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._counts: dict[Any, csr_array] = {}

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
            truth = truth_map(truth_of(self._records, image_id, self._name))
            prediction = output["part_map"].cpu().numpy()
            try:
                counts = confusion_matrix(truth, prediction, len(self._ontology))
            except ValueError as error:
                raise SAVError(f"{self._name}: image {image_id}: {error}") from error
            # A photo fills few of the entries.
            self._counts[image_id] = csr_array(counts)

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Reduce the counts of all processes.

        Returns:
            {"parts": :func:`~sav.evaluation.metrics.part_metrics`}; empty on every process but the
            first.

        Raises:
            SAVError: no image was evaluated at all.
        """
        counts = ChainMap(*comm.gather(self._counts))
        if not comm.is_main_process():
            return {}
        if not counts:
            raise SAVError(f"{self._name}: no image was evaluated; is the data set empty?")
        done, there = len(counts), len(self._records)
        if done < there:
            logger.warning("%s: only %d of %d images were evaluated", self._name, done, there)
        self.confusion = functools.reduce(operator.add, counts.values()).toarray()
        # In one order, whatever the number of processes: float sums depend on it.
        ordered = (counts[image_id].toarray() for image_id in sorted(counts))
        return {"parts": part_metrics(ordered, self._ontology)}

    def confusion_of(self, image_id: Any) -> np.ndarray:
        """The counts (C + 1, C + 1) of a photo that this process has seen."""
        return self._counts[image_id].toarray()
