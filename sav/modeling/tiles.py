"""Tiles: squares that cover a photo, in which vehicles are looked for that are small in it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torchvision.ops import box_area

from sav.modeling.grouping import intersection

Box = tuple[int, int, int, int]
"""XYXY in pixels."""

_SAME = 0.5  # share of the smaller of two boxes that is in the larger, from which both are one


@dataclass(frozen=True)
class TileDetection:
    """A vehicle that a tile shows.

    Attributes:
        box: of it, in pixels of the photo.
        score: of its best part, in [0, 1].
        cut: whether it goes on outside of the tile.
    """

    box: Box
    score: float
    cut: bool


def tile_boxes(size: tuple[int, int]) -> list[Box]:
    """Squares that cover a photo (height, width), and overlap by half or more.

    Their side is half of the photo's long side, or its short side if that is less: 6 tiles for most
    photos, 9 for a square. Of a strip they are an eighth, and as narrow as it is: at most 15.
    """
    side = max(min(*size, math.ceil(max(size) / 2)), math.ceil(max(size) / 8))
    height, width = (min(side, length) for length in size)
    tops, lefts = _starts(size[0], height), _starts(size[1], width)
    return [(left, top, left + width, top + height) for top, left in itertools.product(tops, lefts)]


def _starts(length: int, side: int) -> list[int]:
    steps = math.ceil(2 * (length - side) / side)
    return [round(step * (length - side) / steps) for step in range(steps + 1)] if steps else [0]


def goes_on(box: Box, tile: Box, size: tuple[int, int]) -> bool:
    """Whether a box in a tile touches a side of it that is not one of the photo (height, width)."""
    height, width = size
    ends = (0, 0, width, height)
    return any(
        abs(mine - edge) <= 1 and edge != end
        for mine, edge, end in zip(box, tile, ends, strict=True)
    )


def each_once(detections: Iterable[TileDetection], known: Iterable[Box]) -> list[Box]:
    """The vehicles that tiles show, each once, by its best detection, without the known ones.

    Args:
        detections: of any tiles.
        known: boxes of other vehicles.
    """
    taken = [*known]
    count = len(taken)
    for detection in sorted(detections, key=lambda s: (s.cut, -s.score)):
        if all(shared(detection.box, box) < _SAME for box in taken):
            taken.append(detection.box)
    return taken[count:]


def renew(vehicles: Mapping[int, Box], boxes: Iterable[Box], first: int) -> dict[int, Box]:
    """Vehicles with the boxes that tiles show of them, which are more exact, and further ones.

    Args:
        vehicles: boxes in the whole photo, by id.
        boxes: of different vehicles, by tiles.
        first: id of the first further vehicle.
    """
    renewed: dict[int, Box] = {}
    further = []
    for box in boxes:
        same = [id_ for id_, old in vehicles.items() if shared(box, old) >= _SAME]
        free = next((id_ for id_ in same if id_ not in renewed), None)
        if free is None:
            further.append(box)
        else:
            renewed[free] = box
    return {**vehicles, **renewed, **dict(enumerate(further, first))}


def shared(first: Box, second: Box) -> float:
    """The intersection of two boxes over the smaller one."""
    boxes = torch.tensor([first, second]).double()
    return float(intersection(boxes[:1], boxes[1:]) / box_area(boxes).min())
