"""Which evaluators score a part data set."""

from __future__ import annotations

from pathlib import Path

from sav.d2 import CfgNode, COCOEvaluator, DatasetCatalog, DatasetEvaluators
from sav.evaluation.parts import PartEvaluator
from sav.evaluation.prediction_sheet import PredictionSheet


def build_part_evaluator(
    cfg: CfgNode, dataset_name: str, output_dir: str | None = None
) -> DatasetEvaluators:
    """COCO AP of boxes and masks, part metrics, and a sheet of predictions.

    The sheet is OUTPUT_DIR/predictions.png for the first data set of DATASETS.TEST and
    OUTPUT_DIR/predictions_<data set>.png for the others.

    Args:
        cfg: the run's config.
        dataset_name: a registered part data set.
        output_dir: where COCO's detections go; OUTPUT_DIR/inference/<data set> when None.
    """
    run = Path(cfg.OUTPUT_DIR)
    is_first = dataset_name == cfg.DATASETS.TEST[0]
    sheet = run / ("predictions.png" if is_first else f"predictions_{dataset_name}.png")
    detections = output_dir or str(run / "inference" / dataset_name)
    records = DatasetCatalog.get(dataset_name)
    return DatasetEvaluators(
        [
            # Without explicit tasks a model that predicts nothing would lose its rows.
            COCOEvaluator(dataset_name, tasks=("bbox", "segm"), output_dir=detections),
            PartEvaluator(dataset_name, records=records),
            PredictionSheet(dataset_name, records, sheet),
        ]
    )
