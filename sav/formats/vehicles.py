"""Which vehicle an annotated part belongs to, where the annotations do not say."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import count

import cv2
import numpy as np

from sav.formats.masks import merge_codes, shares_covered
from sav.formats.records import PartInstance

# A piece that an occluder cuts off is not another vehicle.
_SMALLEST_VEHICLE = 0.1


def assign_vehicles(parts: Sequence[PartInstance], bodies: Collection[str]) -> list[PartInstance]:
    """Say of each part of a photo which vehicle it belongs to.

    The annotator's word counts where it is given. Otherwise each body is one vehicle, and a part
    belongs to the body that covers most of it; without any body, touching parts are one vehicle.

    Args:
        parts: of one photo.
        bodies: classes whose shape covers a whole vehicle.
    """
    ids = [part.vehicle_id for part in parts]
    if None not in ids:
        return list(parts)
    free = (number for number in count() if number not in ids)
    at = [i for i, part in enumerate(parts) if part.label in bodies]
    for i in at:
        if ids[i] is None:
            ids[i] = next(free)
    alone = [i for i, number in enumerate(ids) if number is None]
    if at and alone:
        codes = ([parts[i].code for i in some] for some in (alone, at))
        for i, shares in zip(alone, shares_covered(*codes), strict=True):
            ids[i] = ids[at[int(np.argmax(shares))]]
    elif alone:
        places = _touching([parts[i] for i in alone])
        numbers = {place: next(free) for place in sorted(set(places))}
        for i, place in zip(alone, places, strict=True):
            ids[i] = numbers[place]
    return [replace(part, vehicle_id=i) for part, i in zip(parts, ids, strict=True)]


def _touching(parts: Sequence[PartInstance]) -> list[int]:
    """For each part the number of the vehicle that it lies on."""
    whole = PartInstance("", merge_codes([part.code for part in parts]))
    vehicles = vehicle_map(whole.mask)
    if vehicles.max(where=whole.mask, initial=0) == 0:
        return [0] * len(parts)
    return [int(np.bincount(vehicles[part.mask]).argmax()) for part in parts]


def vehicle_map(labelled: np.ndarray) -> np.ndarray:
    """The vehicle of each pixel, where touching pixels are one.

    Args:
        labelled: (H, W) bool, whether a pixel is of any part.

    Returns:
        (H, W) int64, the largest is 0; meaningless on the background.
    """
    found = labelled.astype(np.uint8)
    number, components, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-areas, kind="stable") + 1
    large = [i for i in order if areas[i - 1] >= _SMALLEST_VEHICLE * areas.max()]
    rank = np.zeros(number, dtype=np.int64)
    rank[large] = np.arange(len(large))
    if len(large) > 1 and len(large) < len(order):
        # What is too small to be a vehicle belongs to the nearest one.
        others = [(components != i).astype(np.uint8) for i in large]
        distance = np.stack([cv2.distanceTransform(other, cv2.DIST_L2, 5) for other in others])
        for i in order[len(large) :]:
            rank[i] = distance[:, components == i].min(axis=1).argmin()
    return rank[components]
