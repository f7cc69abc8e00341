"""Detectron2's COCO evaluation and visualizer, mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.data.catalog import Metadata
from detectron2.evaluation import COCOEvaluator as _COCOEvaluator
from detectron2.structures import Instances
from detectron2.utils.visualizer import ColorMode, VisImage
from detectron2.utils.visualizer import Visualizer as _Visualizer

from sav.d2.builtin.coco_evaluation import without_predictions


class COCOEvaluator(_COCOEvaluator):
    """Detectron2's evaluator, which reports boxes and masks also when nothing is predicted.

    Args:
        dataset_name: as in Detectron2.
        tasks: ``bbox`` and ``segm`` by default, instead of whatever the predictions contain.
        args: as in Detectron2.
        kwargs: as in Detectron2.
    """

    def __init__(
        self, dataset_name: str, tasks: Sequence[str] | None = None, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(dataset_name, tuple(tasks or ("bbox", "segm")), *args, **kwargs)

    def _derive_coco_results(
        self, coco_eval: Any, iou_type: str, class_names: Sequence[str] | None = None
    ) -> dict[str, float]:
        if coco_eval is None:
            return without_predictions(self._coco_api, class_names or (), None)
        return super()._derive_coco_results(coco_eval, iou_type, class_names)


class Visualizer(_Visualizer):
    """Detectron2's visualizer, which uses the colours of the classes whenever there are some.

    Args:
        img_rgb: uint8 RGB (H, W, 3).
        metadata: with ``thing_classes`` and perhaps ``thing_colors``.
        scale: size of the drawing relative to the image.
        instance_mode: what colours mean.
        font_size_scale: factor of the size of text.
    """

    def __init__(
        self,
        img_rgb: np.ndarray,
        metadata: Metadata | None = None,
        scale: float = 1.0,
        instance_mode: ColorMode = ColorMode.IMAGE,
        font_size_scale: float = 1.0,
    ) -> None:
        has_colors = metadata is not None and metadata.get("thing_colors") is not None
        if has_colors and instance_mode == ColorMode.IMAGE:
            instance_mode = ColorMode.SEGMENTATION
        super().__init__(img_rgb, metadata, scale, instance_mode, font_size_scale)

    def draw_instance_predictions(
        self, predictions: Instances, jittering: bool = False
    ) -> VisImage:
        """Draw what a model found, in the exact colours unless jittering is asked for."""
        return super().draw_instance_predictions(predictions, jittering)
