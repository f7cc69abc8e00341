"""The evaluator of label maps against the annotations of a part data set."""

from __future__ import annotations

import functools
import logging
import operator
from collections import ChainMap
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from sav.d2 import MetadataCatalog, comm
from sav.errors import SAVError
from sav.evaluation.evaluator import Photo, PhotoEvaluator
from sav.evaluation.metrics import IGNORED, confusion_matrix, part_metrics
from sav.evaluation.photo import Truth
from sav.formats.crops import paint_crops
from sav.ontology import load_ontology

logger = logging.getLogger(__name__)


def truth_map(truth: Truth) -> np.ndarray:
    """Draw the label map of a photo's truth, the larger instances first.

    Returns:
        (H, W) uint8: class id + 1; IGNORED in a crowd where no instance lies; 0 elsewhere.
    """
    parts = np.flatnonzero(~truth.crowd)
    order = parts[np.argsort(-truth.masks.areas[parts], kind="stable")]
    labels = paint_crops(map(truth.masks.crop, order), truth.classes[order] + 1, *truth.size)
    for index in np.flatnonzero(truth.crowd):
        crop = truth.masks.crop(index)
        view = labels[crop.window()]
        view[crop.mask & (view == 0)] = IGNORED
    return labels


class PartEvaluator(PhotoEvaluator):
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
        self._ontology = load_ontology(MetadataCatalog.get(dataset_name).ontology)
        super().__init__(dataset_name, records)

    def reset(self) -> None:
        """Forget all images."""
        self._counts: dict[Any, csr_array] = {}

    def add(self, photo: Photo) -> None:
        """Count the pixels of a photo.

        Raises:
            SAVError: the map does not have the photo's size, or labels that are no class.
        """
        truth = truth_map(photo.truth)
        try:
            counts = confusion_matrix(truth, photo.part_map, len(self._ontology))
        except ValueError as error:
            raise SAVError(f"{self._name}: image {photo.image_id}: {error}") from error
        # A photo fills few of the entries.
        self._counts[photo.image_id] = csr_array(counts)

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
