"""Vehicle crops: small vehicles are cut out, enlarged to the whole canvas, and predicted again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sav.d2 import Boxes, CfgNode, Instances
from sav.errors import SAVError
from sav.modeling.components import shared_vehicles
from sav.modeling.crop_predictions import (
    CONFIDENT,
    CropPrediction,
    Output,
    likely_hulls,
    long_side,
    merge,
    vehicle_hulls,
)
from sav.modeling.targets import Batch
from sav.modeling.tiles import Box, TileDetection, each_once, goes_on, renew, tile_boxes

Predict = Callable[[Batch], list[Output]]

_MARGIN = 0.15  # around a vehicle, as a share of its long side
_LEAST = 16  # pixels of a vehicle's long side; below it there is nothing to enlarge
_MOST = 16  # vehicles of a photo, the largest first
_BATCH = 8  # crops a forward pass
_GAIN = 1.25  # of the parts that are right, from which vehicles are predicted one by one,
_SURE = 0.95  # if their scores' mean is at least so much of what it was


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
                done = predict_components(predict, item, output)
                boxes = self._vehicles(predict, item, output["instances"], done)
                predict_crops(predict, item, output, boxes)
        return outputs

    def _vehicles(
        self, predict: Predict, item: dict[str, Any], parts: Instances, done: Container[int]
    ) -> dict[int, Box]:
        """Boxes of the vehicles to predict again, by id, without those that are done."""
        side = max(parts.image_size)
        hulls = {id_: box for id_, box in likely_hulls(parts).items() if id_ not in done}
        boxes = self._small(hulls, side)
        if not self.tiles:
            return _largest(boxes)
        sure = vehicle_hulls(parts, CONFIDENT).items()
        known = [b for id_, b in sure if id_ in done or long_side(b) >= self.below * side]
        first = max(parts.vehicle_ids.tolist(), default=-1) + 1
        return _largest(
            self._small(renew(boxes, each_once(_in_tiles(predict, item), known), first), side)
        )

    def _small(self, hulls: Mapping[int, Box], side: int) -> dict[int, Box]:
        """Those of the vehicles that are small in a photo with this long side."""
        return {id_: box for id_, box in hulls.items() if long_side(box) < self.below * side}


def _largest(boxes: Mapping[int, Box]) -> dict[int, Box]:
    """As many of the vehicles as are predicted again, the largest first."""
    chosen = [id_ for id_, box in boxes.items() if long_side(box) >= _LEAST]
    chosen.sort(key=lambda id_: -long_side(boxes[id_]))
    return {id_: boxes[id_] for id_ in chosen[:_MOST]}


def _in_tiles(predict: Predict, item: dict[str, Any]) -> list[TileDetection]:
    """The vehicles that tiles of a photo show."""
    size = int(item["height"]), int(item["width"])
    detections = []
    tiles = tile_boxes(size)
    for tile, output in zip(tiles, _predict_pieces(predict, item, tiles), strict=True):
        parts, (left, top) = output["instances"], tile[:2]
        hulls = likely_hulls(parts)
        several, apart = shared_vehicles(hulls, output["components"])
        alone = [(hulls[id_], [id_]) for id_ in hulls if id_ not in several]
        for hull, ids in alone + [(box, several) for box in apart]:
            box = hull[0] + left, hull[1] + top, hull[2] + left, hull[3] + top
            score = float(parts.scores[_belong(parts, ids)].max())
            detections.append(TileDetection(box, score, goes_on(box, tile, size)))
    return detections


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


def predict_components(predict: Predict, item: dict[str, Any], output: Output) -> list[int]:
    """Predict the vehicles that share masks one by one, if that shows more.

    The masks of one vehicle may cover several that lie apart, or one that a post cuts in two. What
    crops of these components show takes its place if by the scores a quarter more parts are right,
    and these are about as sure.

    Args:
        predict: the model.
        item: the photo, with "crop".
        output: of the photo, changed in place.

    Returns:
        The ids of the vehicles that were put into the output.
    """
    parts = output["instances"]
    several, components = shared_vehicles(likely_hulls(parts), output["components"])
    if not several:
        return []
    new = itertools.count(int(parts.vehicle_ids.max()) + 1)
    vehicles = dict(zip(itertools.chain(several[:1], new), components, strict=False))
    predictions = _predict_each(predict, item, _largest(vehicles))
    own = _belong(parts, several)
    if not _shows_more([prediction.parts for prediction in predictions], parts[own]):
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


def _belong(parts: Instances, vehicles: Sequence[int]) -> torch.Tensor:
    """(N,) bool: the parts of some vehicles, given by their ids."""
    return torch.isin(parts.vehicle_ids, parts.vehicle_ids.new_tensor(vehicles))


def _shows_more(pieces: Sequence[Instances], whole: Instances) -> bool:
    """Whether pieces show more right parts than the whole, by the scores, and as sure ones."""
    before, *found = (parts.scores[parts.scores >= CONFIDENT] for parts in (whole, *pieces))
    number, total = sum(map(len, found)), sum(float(scores.sum()) for scores in found)
    least = float(before.sum())
    # The means are compared without division, for there may be no part.
    sure = total * len(before) >= _SURE * least * number
    return number > 0 and total >= _GAIN * least and sure


def _enlarge(box: Box, size: tuple[int, int]) -> Box:
    """A box with a margin, as far as the photo of this size (height, width) goes."""
    margin = round(_MARGIN * long_side(box))
    left, top, right, bottom = box
    height, width = size
    return (
        *(max(left - margin, 0), max(top - margin, 0)),
        *(min(right + margin, width), min(bottom + margin, height)),
    )
