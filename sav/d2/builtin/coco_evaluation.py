"""COCO average precision of boxes and masks."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from faster_coco_eval import COCO, COCOeval_faster

from sav.d2.builtin import comm
from sav.d2.builtin.catalog import MetadataCatalog
from sav.d2.builtin.evaluation import DatasetEvaluator
from sav.d2.builtin.structures import BoxMode, Instances

logger = logging.getLogger(__name__)

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


class COCOEvaluator(DatasetEvaluator):
    """Average precision as COCO defines it, in percent.

    Every task gives its full set of numbers also when nothing is predicted (0 then); a number that
    the annotations do not define, such as the AP of a class that is absent, is NaN. Small, medium
    and large refer to the area of boxes for ``bbox`` and of masks for ``segm``.

    Args:
        dataset_name: its metadata has ``json_file``, ``thing_classes`` and
            ``thing_dataset_id_to_contiguous_id``.
        tasks: of ``bbox`` and ``segm``.
        distributed: gather the predictions of all processes; otherwise only of this one.
        output_dir: folder for ``coco_instances_results.json``; None writes none.
        max_dets_per_image: COCO's limit, 100 by default.
    """

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        max_dets_per_image: int | None = None,
    ) -> None:
        self._tasks = tuple(tasks or ("bbox", "segm"))
        unknown = set(self._tasks) - {"bbox", "segm"}
        if unknown:
            raise ValueError(f"tasks are bbox and segm, not {', '.join(sorted(unknown))}")
        self._distributed = distributed
        self._output_dir = output_dir
        self._max_dets = [1, 10, max_dets_per_image or 100]
        self._metadata = MetadataCatalog.get(dataset_name)
        with contextlib.redirect_stdout(io.StringIO()):
            self._coco = COCO(str(self._metadata.json_file))
        self._predictions: list[dict[str, Any]] = []

    def reset(self) -> None:
        """Forget the predictions."""
        self._predictions = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Take a batch: inputs have ``image_id``, outputs ``instances`` in original pixels."""
        for record, output in zip(inputs, outputs, strict=True):
            instances = output["instances"].to(torch.device("cpu"))
            self._predictions += instances_to_coco_json(instances, record["image_id"])

    def evaluate(self, img_ids: Sequence[int] | None = None) -> dict[str, dict[str, float]]:
        """Return ``{task: {AP, AP50, AP75, APs, APm, APl, AP-<class>...}}`` in percent.

        Args:
            img_ids: only these images; None means all.
        """
        predictions = self._predictions
        if self._distributed:
            comm.synchronize()
            predictions = list(itertools.chain(*comm.gather(predictions)))
            if not comm.is_main_process():
                return {}
        to_dataset_id = {
            contiguous: dataset_id
            for dataset_id, contiguous in self._metadata.thing_dataset_id_to_contiguous_id.items()
        }
        predictions = [{**p, "category_id": to_dataset_id[p["category_id"]]} for p in predictions]
        if self._output_dir:
            path = Path(self._output_dir) / "coco_instances_results.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(predictions), encoding="utf-8")
        names = list(self._metadata.thing_classes)
        return {
            task: average_precision(
                self._coco,
                predictions,
                task,
                class_names=names,
                max_dets=self._max_dets,
                img_ids=img_ids,
            )
            for task in self._tasks
        }


def instances_to_coco_json(instances: Instances, img_id: int) -> list[dict[str, Any]]:
    """Turn instances on the CPU into COCO results with boxes XYWH and compressed RLE masks."""
    boxes = BoxMode.convert(instances.pred_boxes.tensor, BoxMode.XYXY_ABS, BoxMode.XYWH_ABS)
    rows = zip(
        boxes.tolist(), instances.scores.tolist(), instances.pred_classes.tolist(), strict=True
    )
    results = [
        {"image_id": img_id, "category_id": category, "bbox": box, "score": score}
        for box, score, category in rows
    ]
    if instances.has("pred_masks"):
        for result, mask in zip(results, instances.pred_masks, strict=True):
            rle = mask_util.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
            result["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
    return results


def average_precision(
    coco: COCO,
    predictions: list[dict[str, Any]],
    task: str,
    *,
    class_names: Sequence[str],
    max_dets: list[int],
    img_ids: Sequence[int] | None = None,
) -> dict[str, float]:
    """Compute the precision of one task.

    Args:
        coco: the annotations.
        predictions: COCO results with the annotations' category ids.
        task: ``bbox`` or ``segm``.
        class_names: in the order of the category ids.
        max_dets: three limits of detections per image; the last one counts.
        img_ids: only these images.

    Returns:
        The metrics in percent; NaN where the annotations do not define one.
    """
    evaluated = [p for p in predictions if task == "bbox" or "segmentation" in p]
    if task == "segm":
        # With its box, a result would be sized by the box instead of the mask.
        evaluated = [{k: v for k, v in p.items() if k != "bbox"} for p in evaluated]
    else:
        evaluated = [{k: v for k, v in p.items() if k != "segmentation"} for p in evaluated]
    if not evaluated:
        return without_predictions(coco, class_names, img_ids)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval_faster(coco, coco.loadRes(evaluated), task)
        evaluation.params.maxDets = max_dets
        if img_ids is not None:
            evaluation.params.imgIds = list(img_ids)
        evaluation.evaluate()
        evaluation.accumulate()
    # (IoU thresholds, recalls, classes, areas, limits)
    precision = evaluation.eval["precision"][..., -1]
    thresholds = evaluation.params.iouThrs
    at_50, at_75 = np.argmin(abs(thresholds - 0.5)), np.argmin(abs(thresholds - 0.75))
    slices = (
        *(precision[..., 0], precision[at_50, ..., 0], precision[at_75, ..., 0]),
        *(precision[..., area] for area in (1, 2, 3)),
    )
    results = {name: _mean(values) for name, values in zip(METRICS, slices, strict=True)}
    for i, name in enumerate(class_names):
        results[f"AP-{name}"] = _mean(precision[:, :, i, 0])
    return results


def _mean(precision: np.ndarray) -> float:
    """Average what is defined (COCO marks the rest with -1), in percent."""
    defined = precision[precision > -1]
    return float(defined.mean() * 100) if defined.size else float("nan")


def without_predictions(
    coco: COCO, class_names: Sequence[str], img_ids: Sequence[int] | None
) -> dict[str, float]:
    """Return the metrics of an empty prediction.

    Args:
        coco: the annotations.
        class_names: in the order of the category ids.
        img_ids: only these images.

    Returns:
        0 for everything that could have been found, NaN for what the annotations do not define.
    """
    wanted = set(coco.getImgIds() if img_ids is None else img_ids)
    truth = [a for a in coco.dataset["annotations"] if a["image_id"] in wanted]
    truth = [a for a in truth if not a.get("iscrowd", 0)]
    ranges = {"APs": (0, 32**2), "APm": (32**2, 96**2), "APl": (96**2, 1e10)}
    found = {"AP": bool(truth), "AP50": bool(truth), "AP75": bool(truth)}
    for name, (low, high) in ranges.items():
        found[name] = any(low <= a["area"] <= high for a in truth)
    present = {a["category_id"] for a in truth}
    for name, category_id in zip(class_names, sorted(coco.getCatIds()), strict=True):
        found[f"AP-{name}"] = category_id in present
    return {name: 0.0 if defined else float("nan") for name, defined in found.items()}
