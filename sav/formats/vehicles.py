"""Which vehicle an annotated part belongs to, where the annotations do not say."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import count

import cv2
import numpy as np

from sav.formats.records import PartInstance

# A piece that an occluder cuts off is not another vehicle.
_SMALLEST_VEHICLE = 0.1


def assign_vehicles(shapes: Sequence[PartInstance], body_ids: Collection[int]) -> list[int]:
    """The vehicle of each shape of an image.

    The annotator's counts where it is given. Otherwise each body is one vehicle, and a part belongs
    to the body that covers most of it; without any body, touching parts are one vehicle.

    Args:
        shapes: all of one (H, W).
        body_ids: classes whose shape covers a whole vehicle.
    """
    ids = [shape.vehicle_id for shape in shapes]
    if None not in ids:
        return ids
    free = (number for number in count() if number not in ids)
    bodies = [i for i, shape in enumerate(shapes) if shape.class_id in body_ids]
    for i in bodies:
        if ids[i] is None:
            ids[i] = next(free)
    alone = [i for i, number in enumerate(ids) if number is None]
    if bodies:
        for i in alone:
            cover = [np.count_nonzero(shapes[j].mask & shapes[i].mask) for j in bodies]
            ids[i] = ids[bodies[int(np.argmax(cover))]]
        return ids
    vehicles = vehicle_map(np.any([shapes[i].mask for i in alone], axis=0))
    places = [int(np.bincount(vehicles[shapes[i].mask.astype(bool)]).argmax()) for i in alone]
    numbers = {place: next(free) for place in sorted(set(places))}
    for i, place in zip(alone, places, strict=True):
        ids[i] = numbers[place]
    return ids


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
