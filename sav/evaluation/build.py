"""What evaluates a part data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sav.d2 import CfgNode, DatasetCatalog, MetadataCatalog, comm
from sav.evaluation.empty_photos import EmptyPhotosEvaluator
from sav.evaluation.evaluator import PhotoEvaluator, PhotoEvaluators
from sav.evaluation.instances import InstanceEvaluator
from sav.evaluation.parts import PartEvaluator
from sav.evaluation.prediction_sheet import PredictionSheet
from sav.evaluation.report import Report, write_report
from sav.evaluation.vehicles import VehicleEvaluator
from sav.evaluation.worst_photos import WorstPhotos

DETECTIONS_FILE = "coco_instances_results.json"


def build_part_evaluator(
    cfg: CfgNode, dataset_name: str, *, report: bool = False
) -> PhotoEvaluators:
    """Metrics of instances, parts, vehicles and empty photos, and a sheet.

    The sheet is OUTPUT_DIR/predictions.png for the first data set of DATASETS.TEST and
    OUTPUT_DIR/predictions_<data set>.png for the others. The detections are written as COCO results
    to OUTPUT_DIR/inference/<data set>/.

    Args:
        cfg: of the run.
        dataset_name: one of DATASETS.TEST.
        report: write report.html, confusion.png and curves.png too, or report_<data set>.html, ...
    """
    run = Path(cfg.OUTPUT_DIR)
    suffix = "" if dataset_name == cfg.DATASETS.TEST[0] else f"_{dataset_name}"
    records = DatasetCatalog.get(dataset_name)
    detections = run / "inference" / dataset_name / DETECTIONS_FILE
    instances = InstanceEvaluator(dataset_name, records, detections)
    parts = PartEvaluator(dataset_name, records)
    others: list[PhotoEvaluator] = [
        VehicleEvaluator(dataset_name, records),
        EmptyPhotosEvaluator(dataset_name, records),
        PredictionSheet(dataset_name, records, run / f"predictions{suffix}.png"),
    ]
    if not report:
        return PhotoEvaluators([instances, parts, *others], dataset_name, records)
    others.append(WorstPhotos(dataset_name, records, parts))
    return _Reported([instances, parts, *others], dataset_name, records, run, suffix)


class _Reported(PhotoEvaluators):
    """Evaluators, and the report that is written when all have their results.

    Args:
        evaluators: of instances and of parts come first, of the worst photos last.
        dataset_name: a registered part data set.
        records: those of the data set.
        run: folder of the report.
        suffix: of its files' names.
    """

    def __init__(
        self,
        evaluators: list[Any],
        dataset_name: str,
        records: list[dict[str, Any]],
        run: Path,
        suffix: str,
    ) -> None:
        super().__init__(evaluators, dataset_name, records)
        self._instances, self._parts, *_, self._worst = evaluators
        self._run, self._suffix = run, suffix

    def evaluate(self) -> dict[str, Any]:
        """The joined results, as without a report."""
        results = super().evaluate()
        if comm.is_main_process():
            report = Report(
                title=self._name,
                class_names=MetadataCatalog.get(self._name).thing_classes,
                tasks=results,
                confusion=self._parts.confusion,
                matches=self._instances.matches,
                worst=self._worst.photos,
            )
            write_report(self._run, self._suffix, report)
        return results
