"""Whether the runtime finds what the predictor finds."""

import numpy as np

from sav.export.runtime import Part
from sav.ontology import find_view

SCORES, IOU = 1e-3, 0.999


def view_of(model, name):
    return model.views[find_view([queries.view for queries in model.views], name)]


def full_mask(part: Part, height: int, width: int) -> np.ndarray:
    left, top, right, bottom = part.box
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = part.mask
    return mask


def assert_alike(found, parts):
    """Runtime's parts and Instances: the same parts and vehicles, scores and masks."""
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    assert len(found) == len(parts)
    rest = list(found)
    columns = (parts.pred_classes, parts.scores, parts.vehicle_ids)
    for mask, class_id, score, vehicle in zip(
        parts.pred_masks.numpy(), *(column.tolist() for column in columns), strict=True
    ):
        same = [part for part in rest if (part.class_id, part.vehicle) == (class_id, vehicle)]
        assert same, (class_id, score, vehicle)
        ious = [_iou(full_mask(part, *parts.image_size), mask) for part in same]
        best = same[int(np.argmax(ious))]
        rest = [part for part in rest if part is not best]
        assert abs(best.score - score) <= SCORES, (class_id, vehicle, best.score, score)
        # One pixel of a small part may lie within the rounding of float32.
        assert max(ious) >= min(IOU, 1 - 1 / mask.sum()), (class_id, vehicle, max(ious), mask.sum())


def _iou(first, second):
    return (first & second).sum() / (first | second).sum()
