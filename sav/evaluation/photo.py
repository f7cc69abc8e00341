"""What evaluation compares in a photo: its annotated instances and those found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from sav.d2 import Instances
from sav.data.annotations import load_instance_codes
from sav.formats.masks import Code, encode_mask


@dataclass(frozen=True)
class Truth:
    """The annotated instances of a photo, crowds included.

    Attributes:
        codes: M masks.
        classes: (M,) int64.
        boxes: (M, 4) float64, left, top, width and height in pixels.
        areas: (M,) float64 in pixels, as the annotations say; that of the mask where they do not.
        crowd: (M,) bool, regions in which what is found is neither right nor wrong.
    """

    codes: Sequence[Code]
    classes: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray

    @classmethod
    def of(cls, record: dict[str, Any]) -> Truth:
        """From a data set record.

        Raises:
            SAVError: a segmentation is not usable.
        """
        codes, classes, _ = load_instance_codes(record, crowds=True)
        rows = list(zip(record["annotations"], codes, strict=True))
        boxes = [a["bbox"] if "bbox" in a else coco_mask.toBbox(code) for a, code in rows]
        areas = [a["area"] if "area" in a else coco_mask.area(code) for a, code in rows]
        return cls(
            codes,
            classes,
            np.array(boxes, dtype=np.float64).reshape(-1, 4),
            np.array(areas, dtype=np.float64),
            np.array([bool(a.get("iscrowd", 0)) for a, _ in rows], dtype=bool),
        )


@dataclass(frozen=True)
class Detections:
    """The instances found in a photo, in any order.

    Attributes:
        codes: N masks, which may be empty.
        classes: (N,) int64.
        boxes: (N, 4) float64, left, top, width and height in pixels.
        scores: (N,) float64.
    """

    codes: Sequence[Code]
    classes: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, parts: Instances) -> Detections:
        """From a model's output."""
        parts = parts.to("cpu")
        boxes = parts.pred_boxes.tensor.double().numpy().reshape(-1, 4).copy()
        boxes[:, 2:] -= boxes[:, :2]
        scores = parts.scores.double().numpy()
        return cls(encode_masks(parts), parts.pred_classes.numpy(), boxes, scores)

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, kept: np.ndarray) -> Detections:
        """Those at some places, (K,) int64."""
        codes = [self.codes[place] for place in kept]
        return Detections(codes, self.classes[kept], self.boxes[kept], self.scores[kept])


def encode_masks(parts: Instances) -> list[Code]:
    """The run-length codes of instances on the CPU."""
    # Codes go column by column; OpenCV turns masks round five times as fast as numpy.
    masks = (cv2.transpose(mask.numpy().view(np.uint8)).T for mask in parts.pred_masks)
    return [encode_mask(mask) for mask in masks]


def mask_ious(ours: Sequence[Code], theirs: Sequence[Code], crowd: np.ndarray) -> np.ndarray:
    """IoU of all pairs, (n, m) float64; with a crowd the share of ours that lies in it."""
    found = coco_mask.iou(list(ours), list(theirs), crowd.tolist()) if ours and theirs else []
    return np.array(found, dtype=np.float64).reshape(len(ours), len(theirs))


def box_ious(ours: np.ndarray, theirs: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """The same for boxes (n, 4) and (m, 4) of left, top, width and height."""
    found = coco_mask.iou(ours, theirs, crowd.tolist()) if len(ours) and len(theirs) else []
    return np.array(found, dtype=np.float64).reshape(len(ours), len(theirs))
