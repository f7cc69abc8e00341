"""Metrics of instances: what a photo adds, and what comes of all photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sav.evaluation.average_precision import average_precision
from sav.evaluation.boundary import best_border_ious, border_ious
from sav.evaluation.calibration import calibration
from sav.evaluation.matching import Matches, Sides, match
from sav.evaluation.photo import Detections, Truth, box_ious, mask_ious


class InstanceCounts(NamedTuple):
    """What a photo adds to the metrics, some numbers for each instance.

    Attributes:
        bbox: matches by the IoU of boxes.
        segm: by that of masks.
        boundary: by that of borders, if it is less than that of masks.
        best_borders: (m,) float64 in [0, 1]: of each annotation its border's best IoU.
    """

    bbox: Matches
    segm: Matches
    boundary: Matches
    best_borders: np.ndarray


def count_instances(truth: Truth, found: Detections, num_classes: int) -> InstanceCounts:
    """Compare the detections of one photo with its annotations.

    Args:
        truth: classes are below `num_classes`.
        found: all of them, whatever their scores.
        num_classes: C.
    """
    true = truth.classes, truth.areas, truth.crowd
    masks = Sides(found.classes, found.scores, found.masks.areas, *true)
    boxes = masks._replace(found_areas=found.boxes[:, 2] * found.boxes[:, 3])
    iou = mask_ious(found.codes, truth.codes, truth.crowd)
    borders = border_ious(truth, found, iou)
    return InstanceCounts(
        bbox=match(box_ious(found.boxes, truth.boxes, truth.crowd), boxes, num_classes),
        segm=match(iou, masks, num_classes),
        boundary=match(np.where(truth.crowd, iou, np.minimum(iou, borders)), masks, num_classes),
        best_borders=best_border_ious(truth, found, borders),
    )


def instance_metrics(
    photos: Sequence[InstanceCounts], class_names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Metrics of a data set, from the counts of its photos.

    Returns:
        In percent, NaN where the annotations do not define one: "bbox" and "segm" of
        :func:`~sav.evaluation.average_precision.average_precision`; "boundary": "AP", and "IoU",
        the mean over annotations without crowds; "calibration" of
        :func:`~sav.evaluation.calibration.calibration`.
    """
    masks = [photo.segm for photo in photos]
    best = np.concatenate([np.zeros(0), *(photo.best_borders for photo in photos)])
    boundary = average_precision([photo.boundary for photo in photos], class_names)["AP"]
    return {
        "bbox": average_precision([photo.bbox for photo in photos], class_names),
        "segm": average_precision(masks, class_names),
        "boundary": {"AP": boundary, "IoU": 100 * float(best.mean()) if len(best) else np.nan},
        "calibration": calibration(masks),
    }
