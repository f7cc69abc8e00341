"""Detectron2's COCO evaluation, mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detectron2.evaluation import COCOEvaluator as _COCOEvaluator
from detectron2.utils import comm
from faster_coco_eval import COCO

from sav.d2.shared.average_precision import average_precision


class COCOEvaluator(_COCOEvaluator):
    """Detectron2's evaluator, which keeps every row also when nothing is predicted."""

    def evaluate(self, img_ids: Sequence[int] | None = None) -> dict[str, dict[str, float]]:
        """Return the metrics in percent, also when not one image was seen."""
        results = super().evaluate(img_ids)
        if results or not comm.is_main_process():
            return results
        return {task: self._score_nothing(task) for task in self._tasks}

    def _derive_coco_results(
        self, coco_eval: Any, iou_type: str, class_names: Sequence[str] | None = None
    ) -> dict[str, float]:
        if coco_eval is None:
            return self._score_nothing(iou_type)
        return super()._derive_coco_results(coco_eval, iou_type, class_names)

    def _score_nothing(self, task: str) -> dict[str, float]:
        # What scores has an index of its own over the annotations.
        coco = COCO(self._coco_api.dataset)
        return average_precision(coco, [], task, self._metadata.thing_classes)
