"""How sharp masks are: average precision and IoU of their borders (arXiv 2103.16562)."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as mask_util

from sav.drawing.parts import CONFIDENT

logger = logging.getLogger(__name__)

_WIDTH = 0.02  # of a border, as a share of the photo's diagonal


def boundary_metrics(annotations: Path, detections: Path) -> dict[str, float]:
    """Compare the borders of predicted masks with those of annotated ones.

    Args:
        annotations: COCO file of a data set.
        detections: COCO results, as evaluation writes them; no file means that nothing was found.

    Returns:
        In percent: "AP", where the IoU of two instances is that of their borders, if it is less
        than that of their masks; and "IoU", the mean over annotated instances of their border's
        best IoU with one of its class, of those with a score of at least CONFIDENT. NaN where
        nothing is annotated.
    """
    coco = COCO(str(annotations))
    found = json.loads(detections.read_text("utf-8")) if detections.is_file() else []
    precision = _average_precision(coco, found)
    predicted = _borders(p for p in found if p["score"] >= CONFIDENT)
    annotated = _borders(
        {**a, "segmentation": coco.annToRLE(a)} for a in coco.anns.values() if not a["iscrowd"]
    )
    best = [
        iou
        for place, truth in annotated.items()
        for iou in _best_ious(predicted.get(place, []), truth)
    ]
    return {"AP": precision, "IoU": 100 * float(np.mean(best)) if best else float("nan")}


def _average_precision(coco: COCO, found: list[dict[str, Any]]) -> float:
    """In percent, NaN where nothing is annotated."""
    masks = [{key: value for key, value in p.items() if key != "bbox"} for p in found]
    results = coco.loadRes(masks)
    evaluation = COCOeval_faster(coco, results, "boundary", print_function=logger.debug)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    precision = float(evaluation.stats[0])
    return 100 * precision if precision > -1 else float("nan")


def _borders(instances: Iterable[dict[str, Any]]) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """Run-length codes of the borders, by image and category."""
    found = defaultdict(list)
    for instance in instances:
        border = mask_util.rleToBoundary(instance["segmentation"], _WIDTH)
        found[instance["image_id"], instance["category_id"]].append(border)
    return found


def _best_ious(predicted: list[dict[str, Any]], truth: list[dict[str, Any]]) -> list[float]:
    if not predicted:
        return [0.0] * len(truth)
    return np.asarray(mask_util.iou(predicted, truth, [0] * len(truth))).max(0).tolist()
