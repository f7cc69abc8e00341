"""What evaluation compares in a photo: its annotated instances and those found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco_mask

from sav.data.annotations import load_instance_codes
from sav.drawing.parts import CONFIDENT
from sav.formats.crops import Crop, Outline, outlines
from sav.formats.masks import Code, encode_mask

if TYPE_CHECKING:
    from sav.d2 import Instances


class Masks:
    """The masks of a photo.

    Args:
        codes: N run-length codes of one size, checked where they were read.
    """

    def __init__(self, codes: Sequence[Code]) -> None:
        self.codes = codes
        self._crops: dict[int, Crop] = {}

    @cached_property
    def areas(self) -> np.ndarray:
        """(N,) float64, in pixels."""
        # One by one: pycocotools cannot take more than 255 at once.
        return np.array([coco_mask.area(code) for code in self.codes], dtype=np.float64)

    @cached_property
    def _outlines(self) -> list[Outline]:
        return outlines(self.codes)

    def crop(self, index: int) -> Crop:
        """One of them within its box, which is drawn when it is first asked for."""
        if index not in self._crops:
            self._crops[index] = self._outlines[index].draw()
        return self._crops[index]


@dataclass(frozen=True)
class Truth:
    """The annotated instances of a photo, crowds included.

    Attributes:
        size: height, width of the photo in pixels.
        codes: M masks.
        classes: (M,) int64.
        vehicles: (M,) int64, equal for parts of one vehicle.
        boxes: (M, 4) float64, left, top, width and height in pixels.
        areas: (M,) float64 in pixels, as the annotations say; that of the mask where they do not.
        crowd: (M,) bool, regions in which what is found is neither right nor wrong.
    """

    size: tuple[int, int]
    codes: Sequence[Code]
    classes: np.ndarray
    vehicles: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray

    @classmethod
    def of(cls, record: dict[str, Any]) -> Truth:
        """From a data set record.

        Raises:
            SAVError: a segmentation is not usable.
        """
        codes, classes, vehicles = load_instance_codes(record, crowds=True)
        rows = list(zip(record["annotations"], codes, strict=True))
        boxes = [a["bbox"] if "bbox" in a else coco_mask.toBbox(code) for a, code in rows]
        areas = [a["area"] if "area" in a else coco_mask.area(code) for a, code in rows]
        return cls(
            (record["height"], record["width"]),
            codes,
            classes,
            vehicles,
            np.array(boxes, dtype=np.float64).reshape(-1, 4),
            np.array(areas, dtype=np.float64),
            np.array([bool(a.get("iscrowd", 0)) for a, _ in rows], dtype=bool),
        )

    @cached_property
    def masks(self) -> Masks:
        """Those of the codes."""
        return Masks(self.codes)


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
        """From a model's output on the CPU."""
        boxes = parts.pred_boxes.tensor.double().numpy().reshape(-1, 4).copy()
        boxes[:, 2:] -= boxes[:, :2]
        scores = parts.scores.double().numpy()
        codes = [encode_mask(mask) for mask in parts.pred_masks.numpy()]
        return cls(codes, parts.pred_classes.numpy(), boxes, scores)

    @cached_property
    def masks(self) -> Masks:
        """Those of the codes."""
        return Masks(self.codes)

    @cached_property
    def shown(self) -> np.ndarray:
        """(K,) int64 places of those that are shown, with a score of at least CONFIDENT."""
        return np.flatnonzero(self.scores >= CONFIDENT)


def mask_ious(ours: Sequence[Code], theirs: Sequence[Code], crowd: np.ndarray) -> np.ndarray:
    """IoU of all pairs, (n, m) float64; with a crowd the share of ours that lies in it."""
    found = coco_mask.iou(list(ours), list(theirs), crowd.tolist()) if ours and theirs else []
    return np.array(found, dtype=np.float64).reshape(len(ours), len(theirs))


def box_ious(ours: np.ndarray, theirs: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """The same for boxes (n, 4) and (m, 4) of left, top, width and height."""
    found = coco_mask.iou(ours, theirs, crowd.tolist()) if len(ours) and len(theirs) else []
    return np.array(found, dtype=np.float64).reshape(len(ours), len(theirs))
