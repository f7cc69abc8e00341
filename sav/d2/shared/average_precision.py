"""COCO average precision of boxes and masks, also of none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from faster_coco_eval import COCO, COCOeval_faster

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")

logger = logging.getLogger(__name__)


def average_precision(
    coco: COCO,
    predictions: Sequence[dict[str, Any]],
    task: str,
    class_names: Sequence[str],
) -> dict[str, float]:
    """Compute the precision of one task.

    Args:
        coco: the annotations.
        predictions: COCO results with the annotations' category ids; there may be none.
        task: ``bbox`` or ``segm``.
        class_names: in the order of the category ids.

    Returns:
        The metrics in percent; NaN where the annotations do not define one.
    """
    # With its box, a mask would be sized by the box instead of its own pixels.
    geometry, other = ("segmentation", "bbox") if task == "segm" else ("bbox", "segmentation")
    found = [{k: v for k, v in p.items() if k != other} for p in predictions if geometry in p]
    evaluation = COCOeval_faster(coco, coco.loadRes(found), task, print_function=logger.debug)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    results = {name: _percent(evaluation.stats[i]) for i, name in enumerate(METRICS)}
    # (IoU thresholds, recalls, classes, areas, limits)
    precision = evaluation.eval["precision"][..., 0, -1]
    for i, name in enumerate(class_names):
        defined = precision[:, :, i][precision[:, :, i] > -1]
        results[f"AP-{name}"] = _percent(defined.mean() if defined.size else -1)
    return results


def _percent(value: float) -> float:
    """Return a share in percent, NaN for COCO's -1, which marks what is not defined."""
    return float(value) * 100 if value > -1 else float("nan")
