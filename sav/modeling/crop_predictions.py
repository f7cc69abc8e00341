"""What crops show of their vehicles, and how it takes the place of what the whole photo showed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torchvision.ops import box_iou

from sav.d2 import Boxes, Instances
from sav.modeling.reader import LIKELY
from sav.modeling.tiles import Box

Output = dict[str, Any]

CONFIDENT = 0.3
"""Score of parts that are shown."""

_SAME = 0.5  # IoU of the boxes of a vehicle in the photo and in its crop


@dataclass
class CropPrediction:
    """What a crop shows of its vehicle.

    Attributes:
        vehicle: its id in the photo.
        crop: XYXY pixels of the photo.
        parts: of the vehicle, in the crop.
        box: of the vehicle by the photo and the crop, XYXY pixels of the photo, inside the crop.
        part_map: (h, w) uint8 of the box.
    """

    vehicle: int
    crop: Box
    parts: Instances
    box: Box
    part_map: torch.Tensor

    @classmethod
    def at(cls, vehicle: int, box: Box, crop: Box, found: Output) -> CropPrediction | None:
        """Choose the vehicle that lies where it should in the output for a crop; None for none."""
        corner = crop[:2]
        parts, place = found["instances"], [a - b for a, b in zip(box, 2 * corner, strict=True)]
        chosen = _vehicle_at(parts, place)
        if chosen is None:
            return None
        own = parts[parts.vehicle_ids == chosen]
        both = torch.cat([own.pred_boxes.tensor, own.pred_boxes.tensor.new_tensor([place])])
        left, top, right, bottom = _hull(both)
        part_map = found["part_map"][top:bottom, left:right]
        moved = (left + crop[0], top + crop[1], right + crop[0], bottom + crop[1])
        return cls(vehicle, crop, own, moved, part_map)

    def part_boxes(self) -> torch.Tensor:
        """(M, 4) XYXY in pixels of the photo."""
        boxes = self.parts.pred_boxes.tensor
        return boxes + boxes.new_tensor(2 * self.crop[:2])


def merge(output: Output, predictions: Sequence[CropPrediction]) -> None:
    """Put what crops show of their vehicles in the place of what the whole photo showed.

    Args:
        output: of the whole photo, changed in place.
        predictions: of vehicles of it.
    """
    if not predictions:
        return
    whole: Instances = output["instances"]
    replaced = torch.isin(
        whole.vehicle_ids,
        torch.tensor([prediction.vehicle for prediction in predictions]).to(whole.vehicle_ids),
    )
    others = (~replaced).nonzero()[:, 0]
    for prediction in predictions:
        _write_labels(output["part_map"], prediction, whole, others)
    pieces = [prediction.parts for prediction in predictions]
    ids = [
        torch.full_like(prediction.parts.pred_classes, prediction.vehicle)
        for prediction in predictions
    ]
    scores = torch.cat([whole.scores[others], *(piece.scores for piece in pieces)])
    order = scores.argsort(descending=True, stable=True)
    joined = Instances(whole.image_size)
    joined.scores = scores[order]
    classes = [whole.pred_classes[others], *(piece.pred_classes for piece in pieces)]
    joined.pred_classes = torch.cat(classes)[order]
    joined.vehicle_ids = torch.cat([whole.vehicle_ids[others], *ids])[order]
    boxes = [
        whole.pred_boxes.tensor[others],
        *(prediction.part_boxes() for prediction in predictions),
    ]
    joined.pred_boxes = Boxes(torch.cat(boxes)[order])
    joined.pred_masks = _join_masks(whole.pred_masks, others, predictions, order)
    output["instances"] = joined


def _join_masks(
    masks: torch.Tensor,
    others: torch.Tensor,
    predictions: Sequence[CropPrediction],
    order: torch.Tensor,
) -> torch.Tensor:
    """Masks of the others (indices) and of all crops, in an order; each is copied once."""
    joined = masks.new_zeros(len(order), *masks.shape[1:])
    place = order.argsort().tolist()
    for row, other in zip(place, others.tolist(), strict=False):
        joined[row] = masks[other]
    rest = iter(place[len(others) :])
    for prediction in predictions:
        left, top, right, bottom = prediction.crop
        for mask in prediction.parts.pred_masks:
            joined[next(rest), top:bottom, left:right] = mask
    return joined


def _write_labels(
    part_map: torch.Tensor, prediction: CropPrediction, whole: Instances, others: torch.Tensor
) -> None:
    """Write the labels in a vehicle's box, except where parts of other vehicles are seen."""
    left, top, right, bottom = prediction.box
    place = slice(top, bottom), slice(left, right)
    free = torch.ones_like(prediction.part_map, dtype=torch.bool)
    for other in others[whole.scores[others] >= CONFIDENT].tolist():
        free &= ~whole.pred_masks[other][place]
    part_map[place] = torch.where(free, prediction.part_map, part_map[place])


def _vehicle_at(parts: Instances, box: Sequence[int]) -> int | None:
    """The id of the vehicle whose box is most like one, if it is at all."""
    if not len(parts):
        return None
    # Something is likely to be there, so that nothing is sure does not mean that nothing is right.
    hulls = vehicle_hulls(parts, min(CONFIDENT, float(parts.scores.max()) / 2))
    ious = box_iou(torch.tensor([*hulls.values()]).float(), torch.tensor([box]).float())[:, 0]
    best = int(ious.argmax())
    return [*hulls][best] if ious[best] >= _SAME else None


def likely_hulls(parts: Instances) -> dict[int, Box]:
    """The box of each vehicle, by its id, that is at least likely to be there."""
    return {**vehicle_hulls(parts, LIKELY), **vehicle_hulls(parts, CONFIDENT)}


def vehicle_hulls(parts: Instances, least: float) -> dict[int, Box]:
    """The box around the parts of each vehicle, by its id, that score so much."""
    sure = parts.scores >= least  # not of all parts together: their masks would be copied
    boxes, owners = parts.pred_boxes.tensor[sure], parts.vehicle_ids[sure]
    return {vehicle: _hull(boxes[owners == vehicle]) for vehicle in owners.unique().tolist()}


def _hull(boxes: torch.Tensor) -> Box:
    """The least box of whole pixels around boxes (N, 4)."""
    left, top = boxes[:, :2].amin(0).floor().int().tolist()
    right, bottom = boxes[:, 2:].amax(0).ceil().int().tolist()
    return left, top, right, bottom


def long_side(box: Box) -> int:
    """Of a box, in pixels."""
    return max(box[2] - box[0], box[3] - box[1])
