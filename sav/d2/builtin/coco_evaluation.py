"""COCO average precision of boxes and masks."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from faster_coco_eval import COCO

from sav.d2.builtin.catalog import MetadataCatalog
from sav.d2.builtin.evaluation import DatasetEvaluator
from sav.d2.builtin.structures import Instances
from sav.d2.shared import comm
from sav.d2.shared.average_precision import average_precision


class COCOEvaluator(DatasetEvaluator):
    """Average precision as COCO defines it, in percent.

    Every task gives its full set of numbers also when nothing is predicted (0 then); a number that
    the annotations do not define, such as the AP of a class that is absent, is NaN. Small, medium
    and large refer to the area of boxes for ``bbox`` and of masks for ``segm``.

    Args:
        dataset_name: its metadata has ``json_file``, ``thing_classes`` and
            ``thing_dataset_id_to_contiguous_id``.
        tasks: of ``bbox`` and ``segm``.
        output_dir: folder for ``coco_instances_results.json``.
    """

    def __init__(self, dataset_name: str, tasks: Sequence[str], *, output_dir: str) -> None:
        self._tasks = tasks
        self._output_dir = Path(output_dir)
        self._metadata = MetadataCatalog.get(dataset_name)
        self._predictions: list[dict[str, Any]] = []

    @cached_property
    def _coco(self) -> COCO:
        """The annotations, which the first process alone needs."""
        return COCO(str(self._metadata.json_file))

    def reset(self) -> None:
        """Forget the predictions."""
        self._predictions = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Take a batch: inputs have ``image_id``, outputs ``instances`` in original pixels."""
        for record, output in zip(inputs, outputs, strict=True):
            instances = output["instances"].to(torch.device("cpu"))
            self._predictions += _to_coco(instances, record["image_id"])

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Return ``{task: {AP, AP50, AP75, APs, APm, APl, AP-<class>...}}`` in percent."""
        comm.synchronize()
        predictions = list(itertools.chain(*comm.gather(self._predictions)))
        if not comm.is_main_process():
            return {}
        to_contiguous = self._metadata.thing_dataset_id_to_contiguous_id
        to_dataset_id = {contiguous: dataset_id for dataset_id, contiguous in to_contiguous.items()}
        predictions = [{**p, "category_id": to_dataset_id[p["category_id"]]} for p in predictions]
        self._output_dir.mkdir(parents=True, exist_ok=True)
        path = self._output_dir / "coco_instances_results.json"
        path.write_text(json.dumps(predictions), encoding="utf-8")
        names = self._metadata.thing_classes
        return {
            task: average_precision(self._coco, predictions, task, names) for task in self._tasks
        }


def _to_coco(instances: Instances, img_id: int) -> list[dict[str, Any]]:
    """Turn instances on the CPU into COCO results with boxes XYWH and compressed RLE masks."""
    boxes = instances.pred_boxes.tensor.clone()
    boxes[:, 2:] -= boxes[:, :2]
    results = [
        {"image_id": img_id, "category_id": category, "bbox": box, "score": score}
        for category, box, score in zip(
            instances.pred_classes.tolist(), boxes.tolist(), instances.scores.tolist(), strict=True
        )
    ]
    for result, mask in zip(results, instances.pred_masks, strict=True):
        rle = mask_util.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
        result["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
    return results
