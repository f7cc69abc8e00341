"""The vehicles of a photo: which queries of the decoder belong to one, and where it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torchvision.ops import box_iou

from sav.modeling.context.frame import vehicle_boxes
from sav.modeling.grouping import (
    VehicleKinds,
    centre_distance,
    group_into_vehicles,
    intersection,
)
from sav.modeling.original_frame import mask_boxes
from sav.modeling.postprocess import part_probabilities
from sav.modeling.sam.decoder import DecoderOutput

GRID_REDUCTION = 2  # of the masks' resolution
_CONFIDENT = 0.3
_SMALLEST = 0.1  # of the largest vehicle's box; what is smaller belongs to the nearest one
_SAME = 0.1  # IoU from which an annotated vehicle is taken for a predicted one


@dataclass
class PredictedVehicles:
    """V vehicles that the decoder predicts in B photos, at least one in each.

    Attributes:
        photo: (V,) int64 index of each one's photo, ascending.
        parts: (V, C, n, n) probability of each of its parts at each place of the photo.
        boxes: (V, 4) see :func:`~sav.modeling.context.frame.vehicle_boxes`.
    """

    photo: torch.Tensor
    parts: torch.Tensor
    boxes: torch.Tensor


@torch.no_grad()
def predicted_parts(
    output: DecoderOutput, query_classes: torch.Tensor, num_classes: int
) -> torch.Tensor:
    """(B, C, n, n) probability of each class at each place, at half the masks' resolution."""
    logits = F.avg_pool2d(output.masks.float(), GRID_REDUCTION)
    return part_probabilities(logits, output.presence.sigmoid(), query_classes, num_classes)


@torch.no_grad()
def find_vehicles(
    output: DecoderOutput,
    query_classes: torch.Tensor,
    num_classes: int,
    kinds: VehicleKinds,
) -> PredictedVehicles:
    """The vehicles that the decoder predicts.

    Args:
        output: the decoder's, for B photos and N queries.
        query_classes: (N,) class of each query.
        num_classes: C.
        kinds: what classes say about vehicles.
    """
    logits = F.avg_pool2d(output.masks.float(), GRID_REDUCTION)
    presence = output.presence.float().sigmoid()
    numbers = _vehicle_numbers(logits, presence, query_classes, kinds)
    counts = numbers.amax(1) + 1
    photo = torch.repeat_interleave(torch.arange(len(counts)), counts)
    number = torch.arange(len(photo)) - (counts.cumsum(0) - counts)[photo]
    photo, own = (x.to(logits.device) for x in (photo, numbers[photo] == number[:, None]))
    return describe_vehicles(output, photo, own, query_classes, num_classes)


@torch.no_grad()
def describe_vehicles(
    output: DecoderOutput,
    photo: torch.Tensor,
    own: torch.Tensor,
    query_classes: torch.Tensor,
    num_classes: int,
) -> PredictedVehicles:
    """Where V vehicles are, and their parts, when it is known which queries show each.

    Args:
        output: the decoder's, for B photos and N queries.
        photo: (V,) int64 index of each one's photo, ascending; every photo has one.
        own: (V, N) bool, the queries that belong to each.
        query_classes: (N,) class of each query.
        num_classes: C.
    """
    logits = F.avg_pool2d(output.masks.float(), GRID_REDUCTION)[photo]
    presence = output.presence.float().sigmoid()[photo] * own
    parts = part_probabilities(logits, presence, query_classes, num_classes)
    return PredictedVehicles(photo, parts, vehicle_boxes(parts))


def match_annotated(
    predicted: PredictedVehicles, photo: torch.Tensor, boxes: torch.Tensor
) -> torch.Tensor:
    """Which predicted vehicle an annotated one is.

    Args:
        predicted: V vehicles.
        photo: (W,) int64 the photo of each annotated vehicle.
        boxes: (W, 4) as those of the predicted ones.

    Returns:
        (W,) int64, -1 where none lies near enough.
    """
    overlap = box_iou(boxes, predicted.boxes)
    overlap = overlap.masked_fill(photo[:, None] != predicted.photo, -1.0)
    best, index = overlap.max(1)
    return index.masked_fill(best < _SAME, -1)


def _vehicle_numbers(
    logits: torch.Tensor,
    presence: torch.Tensor,
    query_classes: torch.Tensor,
    kinds: VehicleKinds,
) -> torch.Tensor:
    """(B, N) int64 on the CPU: the vehicle of each query, 0 being its photo's best one."""
    boxes = mask_boxes(logits.flatten(0, 1) > 0).unflatten(0, presence.shape)
    # One transfer a batch: the rest is a few numbers for each photo. In double precision, because
    # an area hides a distance in a single one.
    boxes, scores, classes = boxes.cpu().double(), presence.cpu(), query_classes.cpu()
    shown = (scores >= _CONFIDENT) & (boxes[..., 2] > boxes[..., 0])
    numbers = torch.zeros(scores.shape, dtype=torch.int64)
    for row, seen in enumerate(shown):
        confident = boxes[row, seen]
        found = group_into_vehicles(confident, classes[seen], scores[row, seen], kinds)
        around = _vehicle_boxes(confident, found)
        if len(around) < 2:
            continue
        every = torch.stack([*around.values()])
        inside = intersection(boxes[row], every) - 1e-3 * centre_distance(boxes[row], every)
        numbers[row] = inside.argmax(1)
        for number, vehicle in enumerate(around):
            numbers[row, seen.nonzero()[found == vehicle, 0]] = number
    return numbers


def _vehicle_boxes(boxes: torch.Tensor, vehicles: torch.Tensor) -> dict[int, torch.Tensor]:
    """The boxes (4,) around the parts of vehicles that are not much smaller than the others.

    Args:
        boxes: (N, 4) of parts.
        vehicles: (N,) int64 the vehicle of each one.
    """
    around = {}
    for vehicle in vehicles.unique().tolist():
        parts = boxes[vehicles == vehicle]
        around[vehicle] = torch.cat([parts[:, :2].amin(0), parts[:, 2:].amax(0)])
    areas = {vehicle: (box[2:] - box[:2]).prod() for vehicle, box in around.items()}
    largest = max(areas.values(), default=0)
    return {v: box for v, box in around.items() if areas[v] >= _SMALLEST * largest}
