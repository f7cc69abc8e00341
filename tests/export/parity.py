"""Whether the runtime finds what the predictor finds."""

import numpy as np

from sav.export.runtime import Part


def full_mask(part: Part, height: int, width: int) -> np.ndarray:
    left, top, right, bottom = part.box
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = part.mask
    return mask


def assert_alike(found, parts):
    """Runtime's parts and Instances: the same parts and vehicles, scores and masks."""
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    for number, (difference, iou, pixels) in enumerate(differences(found, parts)):
        # One pixel of a small part may lie within the rounding of float32.
        assert iou >= min(0.999, 1 - 1 / pixels), (number, iou, pixels)
        assert difference <= 1e-3, (number, difference)


def differences(found, parts):
    """Difference of scores, mask IoU and pixels of each part; both must find the same ones."""
    assert len(found) == len(parts)
    rest, rows = list(found), []
    columns = (parts.pred_classes, parts.scores, parts.vehicle_ids)
    for mask, class_id, score, vehicle in zip(
        parts.pred_masks.numpy(), *(column.tolist() for column in columns), strict=True
    ):
        same = [part for part in rest if (part.class_id, part.vehicle) == (class_id, vehicle)]
        assert same, (class_id, score, vehicle)
        ious = [_iou(full_mask(part, *parts.image_size), mask) for part in same]
        best = same[int(np.argmax(ious))]
        rows.append((abs(best.score - score), max(ious), mask.sum()))
        rest = [part for part in rest if part is not best]
    return rows


def _iou(first, second):
    return (first & second).sum() / (first | second).sum()
