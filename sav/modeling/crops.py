"""Vehicle crops: small vehicles are cut out, enlarged to the whole canvas, and predicted again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torchvision.ops import box_iou

from sav.d2 import Boxes, CfgNode, Instances
from sav.errors import SAVError
from sav.modeling.components import shared_vehicles
from sav.modeling.reader import LIKELY
from sav.modeling.targets import Batch
from sav.modeling.tiles import Box, Sighting, each_once, goes_on, renew, tile_boxes

Output = dict[str, Any]
Predict = Callable[[Batch], list[Output]]

_CONFIDENT = 0.3  # score of parts that are shown
_MARGIN = 0.15  # around a vehicle, as a share of its long side
_LEAST = 16  # pixels of a vehicle's long side; below it there is nothing to enlarge
_MOST = 16  # vehicles of a photo, the largest first
_BATCH = 8  # crops a forward pass
_GAIN = 1.25  # of the parts that are right, from which vehicles are predicted one by one
_SAME = 0.5  # IoU of the boxes of a vehicle in the photo and in its crop


@dataclass(frozen=True)
class VehicleCrops:
    """Predicts small vehicles again, as if each were a photo of its own.

    On the canvas a vehicle that takes a third of the photo has a ninth of the pixels. What its crop
    shows of it takes the place of what the whole photo showed of it; other vehicles stay as they
    are.

    Attributes:
        below: the long side of a vehicle over that of its photo, below which it is predicted again;
            0 for none.
        tiles: look for vehicles in tiles of the photo, too.
    """

    below: float
    tiles: bool = False

    @classmethod
    def from_config(cls, cfg: CfgNode) -> VehicleCrops:
        """As MODEL.SAV.TEST.CROPS and TILES say.

        Raises:
            SAVError: tiles without crops.
        """
        test = cfg.MODEL.SAV.TEST
        if test.TILES and not test.CROPS:
            raise SAVError("MODEL.SAV.TEST.TILES: vehicles in tiles need MODEL.SAV.TEST.CROPS")
        return cls(test.CROPS, test.TILES)

    def __call__(self, predict: Predict, inputs: Batch, outputs: list[Output]) -> list[Output]:
        """Predict crops where that helps.

        Args:
            predict: the model.
            inputs: B photos; those that have "crop", see :class:`sav.data.crops.PhotoCrops`, can be
                cut.
            outputs: what the model says of them.
        """
        if not self.below:
            return outputs
        for item, output in zip(inputs, outputs, strict=True):
            if "crop" in item:
                done = predict_apart(predict, item, output)
                boxes = self._vehicles(predict, item, output["instances"], done)
                predict_crops(predict, item, output, boxes)
        return outputs

    def _vehicles(
        self, predict: Predict, item: dict[str, Any], parts: Instances, done: Container[int]
    ) -> dict[int, Box]:
        """Boxes of the vehicles to predict again, by id, without those that are done."""
        side = max(parts.image_size)
        hulls = {id_: box for id_, box in _likely_hulls(parts).items() if id_ not in done}
        boxes = self._small(hulls, side)
        if not self.tiles:
            return _largest(boxes)
        sure = _hulls(parts, _CONFIDENT).items()
        known = [b for id_, b in sure if id_ in done or _long_side(b) >= self.below * side]
        first = max(parts.vehicle_ids.tolist(), default=-1) + 1
        return _largest(
            self._small(renew(boxes, each_once(_in_tiles(predict, item), known), first), side)
        )

    def _small(self, hulls: Mapping[int, Box], side: int) -> dict[int, Box]:
        """Those of the vehicles that are small in a photo with this long side."""
        return {id_: box for id_, box in hulls.items() if _long_side(box) < self.below * side}


def _largest(boxes: Mapping[int, Box]) -> dict[int, Box]:
    """As many of the vehicles as are predicted again, the largest first."""
    chosen = [id_ for id_, box in boxes.items() if _long_side(box) >= _LEAST]
    chosen.sort(key=lambda id_: -_long_side(boxes[id_]))
    return {id_: boxes[id_] for id_ in chosen[:_MOST]}


def _in_tiles(predict: Predict, item: dict[str, Any]) -> list[Sighting]:
    """The vehicles that tiles of a photo show."""
    size = int(item["height"]), int(item["width"])
    sightings = []
    tiles = tile_boxes(size)
    for tile, output in zip(tiles, _predict_pieces(predict, item, tiles), strict=True):
        parts, (left, top) = output["instances"], tile[:2]
        hulls = _likely_hulls(parts)
        several, apart = shared_vehicles(hulls, output["components"])
        alone = [(hulls[id_], [id_]) for id_ in hulls if id_ not in several]
        for hull, ids in alone + [(box, several) for box in apart]:
            box = hull[0] + left, hull[1] + top, hull[2] + left, hull[3] + top
            score = float(parts.scores[_belong(parts, ids)].max())
            sightings.append(Sighting(box, score, goes_on(box, tile, size)))
    return sightings


def _predict_pieces(
    predict: Predict, item: dict[str, Any], boxes: Sequence[Box]
) -> Iterator[Output]:
    """The output for each piece of a photo; those of one batch are in memory at a time."""
    item = {**item}
    cut = item.pop("crop")
    for start in range(0, len(boxes), _BATCH):
        yield from predict([{**item, **cut(box)} for box in boxes[start : start + _BATCH]])


def predict_crops(
    predict: Predict,
    item: dict[str, Any],
    output: Output,
    vehicles: Mapping[int, Box],
) -> None:
    """Predict each of some vehicles by its crop, and put what that shows into the output.

    Where no vehicle of a crop lies where it should, nothing changes.

    Args:
        predict: the model.
        item: the photo, with "crop".
        output: of the photo, changed in place.
        vehicles: XYXY boxes in pixels, inside the photo, by the vehicle's id.
    """
    merge(output, _predict_each(predict, item, vehicles))


def predict_apart(predict: Predict, item: dict[str, Any], output: Output) -> list[int]:
    """Predict the vehicles that share masks one by one, if that shows more.

    The masks of one vehicle may cover several that lie apart, or one that a post cuts in two. What
    crops of these components show takes its place if by the scores a quarter more parts are right.

    Args:
        predict: the model.
        item: the photo, with "crop".
        output: of the photo, changed in place.

    Returns:
        The ids of the vehicles that were put into the output.
    """
    parts = output["instances"]
    several, components = shared_vehicles(_likely_hulls(parts), output["components"])
    if not several:
        return []
    new = itertools.count(int(parts.vehicle_ids.max()) + 1)
    vehicles = dict(zip(itertools.chain(several[:1], new), components, strict=False))
    predictions = _predict_each(predict, item, _largest(vehicles))
    own = _belong(parts, several)
    right = sum(_expected_right(prediction.parts) for prediction in predictions)
    if not predictions or right < _GAIN * _expected_right(parts[own]):
        return []
    parts.vehicle_ids[own] = predictions[0].vehicle
    merge(output, predictions)
    return [prediction.vehicle for prediction in predictions]


def _predict_each(
    predict: Predict, item: dict[str, Any], vehicles: Mapping[int, Box]
) -> list[CropPrediction]:
    """What crops of some vehicles show of them, without those that show nothing of theirs."""
    size = int(item["height"]), int(item["width"])
    crops = {vehicle: _enlarge(box, size) for vehicle, box in vehicles.items()}
    outputs = _predict_pieces(predict, item, [*crops.values()])
    predictions = [
        CropPrediction.at(vehicle, vehicles[vehicle], crop, found)
        for (vehicle, crop), found in zip(crops.items(), outputs, strict=True)
    ]
    return [*filter(None, predictions)]


def nothing_found(size: tuple[int, int]) -> Output:
    """The output for a photo (height, width) in which nothing is found."""
    nothing = torch.zeros(0)
    instances = Instances(size)
    instances.pred_masks = torch.zeros(0, *size, dtype=torch.bool)
    instances.pred_boxes = Boxes(torch.zeros(0, 4))
    instances.scores, instances.pred_classes = nothing, nothing.long()
    instances.vehicle_ids = nothing.long()
    return {
        "instances": instances,
        "part_map": torch.zeros(size, dtype=torch.uint8),
        "components": torch.zeros(0, 4, dtype=torch.int64),
    }


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
    for other in others[whole.scores[others] >= _CONFIDENT].tolist():
        free &= ~whole.pred_masks[other][place]
    part_map[place] = torch.where(free, prediction.part_map, part_map[place])


def _vehicle_at(parts: Instances, box: Sequence[int]) -> int | None:
    """The id of the vehicle whose box is most like one, if it is at all."""
    if not len(parts):
        return None
    # Something is likely to be there, so that nothing is sure does not mean that nothing is right.
    hulls = _hulls(parts, min(_CONFIDENT, float(parts.scores.max()) / 2))
    ious = box_iou(torch.tensor([*hulls.values()]).float(), torch.tensor([box]).float())[:, 0]
    best = int(ious.argmax())
    return [*hulls][best] if ious[best] >= _SAME else None


def _belong(parts: Instances, vehicles: Sequence[int]) -> torch.Tensor:
    """(N,) bool: the parts of some vehicles, given by their ids."""
    return torch.isin(parts.vehicle_ids, parts.vehicle_ids.new_tensor(vehicles))


def _expected_right(parts: Instances) -> float:
    """How many of the parts that are shown are right, by their scores."""
    return float(parts.scores[parts.scores >= _CONFIDENT].sum())


def _likely_hulls(parts: Instances) -> dict[int, Box]:
    """The box of each vehicle, by its id, that is at least likely to be there."""
    return {**_hulls(parts, LIKELY), **_hulls(parts, _CONFIDENT)}


def _hulls(parts: Instances, least: float) -> dict[int, Box]:
    """The box around the parts of each vehicle, by its id, that score so much."""
    sure = parts[parts.scores >= least]
    boxes = sure.pred_boxes.tensor
    ids = sure.vehicle_ids.unique().tolist()
    return {vehicle: _hull(boxes[sure.vehicle_ids == vehicle]) for vehicle in ids}


def _enlarge(box: Box, size: tuple[int, int]) -> Box:
    """A box with a margin, as far as the photo of this size (height, width) goes."""
    margin = round(_MARGIN * _long_side(box))
    left, top, right, bottom = box
    height, width = size
    return (
        *(max(left - margin, 0), max(top - margin, 0)),
        *(min(right + margin, width), min(bottom + margin, height)),
    )


def _hull(boxes: torch.Tensor) -> Box:
    """The least box of whole pixels around boxes (N, 4)."""
    left, top = boxes[:, :2].amin(0).floor().int().tolist()
    right, bottom = boxes[:, 2:].amax(0).ceil().int().tolist()
    return left, top, right, bottom


def _long_side(box: Box) -> int:
    return max(box[2] - box[0], box[3] - box[1])
