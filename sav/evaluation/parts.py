"""The evaluators of a part data set; ours scores label maps against its annotations."""

from __future__ import annotations

import logging
from collections import ChainMap
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from sav.d2 import (
    CfgNode,
    COCOEvaluator,
    DatasetCatalog,
    DatasetEvaluator,
    DatasetEvaluators,
    MetadataCatalog,
    comm,
)
from sav.data.annotation_file import Stamp, file_stamp
from sav.data.annotations import part_map_from_annotations
from sav.errors import SAVError
from sav.evaluation.empty_photos import EmptyPhotosEvaluator
from sav.evaluation.metrics import confusion_matrix, dataset_metrics, instance_mean_iou
from sav.evaluation.prediction_sheet import PredictionSheet
from sav.evaluation.records import truth_of
from sav.evaluation.vehicles import VehicleEvaluator
from sav.ontology import load_ontology

logger = logging.getLogger(__name__)


DETECTIONS_FILE = "coco_instances_results.json"


def detections_folder(run: Path, dataset_name: str) -> Path:
    """Where the evaluation of a run writes the COCO results of a data set."""
    return run / "inference" / dataset_name


def build_part_evaluator(cfg: CfgNode, dataset_name: str) -> DatasetEvaluators:
    """COCO AP of boxes and masks, metrics of parts, vehicles and empty photos, and a sheet.

    The sheet is OUTPUT_DIR/predictions.png for the first data set of DATASETS.TEST and
    OUTPUT_DIR/predictions_<data set>.png for the others. COCO's detections go to
    :func:`detections_folder`.
    """
    run = Path(cfg.OUTPUT_DIR)
    is_first = dataset_name == cfg.DATASETS.TEST[0]
    sheet = run / ("predictions.png" if is_first else f"predictions_{dataset_name}.png")
    detections = str(detections_folder(run, dataset_name))
    records = DatasetCatalog.get(dataset_name)
    stamp = file_stamp(MetadataCatalog.get(dataset_name).json_file)
    return DatasetEvaluators(
        [
            _coco_evaluator(dataset_name, detections, stamp),
            PartEvaluator(dataset_name, records),
            VehicleEvaluator(dataset_name, records),
            EmptyPhotosEvaluator(dataset_name, records),
            PredictionSheet(dataset_name, records, sheet),
        ]
    )


@lru_cache(maxsize=4)
def _coco_evaluator(dataset_name: str, output_dir: str, stamp: Stamp) -> COCOEvaluator:
    """One for all evaluations of a run: making one reads the annotation file, ``stamp``'s."""
    # Without explicit tasks a model that predicts nothing would lose its rows.
    return COCOEvaluator(dataset_name, tasks=("bbox", "segm"), output_dir=output_dir)


class PartEvaluator(DatasetEvaluator):
    """Data-set level part metrics at the images' original resolution.

    The model's inputs carry no annotations, so the truth is taken by image id from the records of
    the registered data set. The counts of each image are kept apart until the end: several
    processes may then hold any number of images each, or the same image twice, and give the
    numbers of one process bit by bit.
    """

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
            truth = part_map_from_annotations(truth_of(self._records, image_id, self._name))
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
            {"parts": metrics in percent}, see :func:`~sav.evaluation.metrics.dataset_metrics`, plus
            "instance_mean_IoU". Empty on every process but the first.

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
        # In one order, whatever the number of processes: float sums depend on it.
        matrices = [counts[image_id].toarray() for image_id in sorted(counts)]
        metrics = dataset_metrics(np.sum(matrices, axis=0), self._ontology)
        return {"parts": {**metrics, "instance_mean_IoU": instance_mean_iou(matrices)}}
