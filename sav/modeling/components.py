"""Vehicles that lie apart in a photo, where one query shows the same part of several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch

from sav.modeling.original_frame import Frame
from sav.modeling.tiles import Box, shared

_PARTS = 3  # that a component shows at least, to be a vehicle
_SMALLEST = 0.02  # of the largest component's cells
_SAME = 0.5  # share of the smaller of two boxes, from which a component is in a vehicle


def vehicle_components(masks: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Boxes of what parts cover together, where that is in several pieces.

    A vehicle's fine parts leave no gap between them. So what has a gap around it is a vehicle, or
    what a tree or a person leaves of one.

    Args:
        masks: (N, h, w) bool over the canvas, of the likely parts.
        frame: of the photo.

    Returns:
        (K, 4) int64 XYXY in pixels of the photo, the largest component's first; none unless there
        are several.
    """
    seen = [masks.shape[1] * side / frame.canvas for side in frame.resized]  # cells
    shown = masks[:, : math.ceil(seen[0]), : math.ceil(seen[1])].cpu().numpy()
    union = shown.any(0).view(np.uint8)
    count, labels = cv2.connectedComponents(cv2.dilate(union, np.ones((3, 3), np.uint8)))
    if count <= 2:  # the first one is the background
        return _boxes([])
    cells = np.stack([(shown & (labels == n)).sum((1, 2)) for n in range(1, count)])
    sizes = cells.sum(1)
    parts = (cells > _SMALLEST * cells.max(0).clip(1)).sum(1)
    large = (parts >= _PARTS) & (sizes >= _SMALLEST * sizes.max())
    chosen = np.flatnonzero(large).tolist() if large.sum() > 1 else []
    boxes = [_box(union.astype(bool) & (labels == n + 1), seen, frame) for n in chosen]
    order = sorted(range(len(chosen)), key=lambda n: (-sizes[chosen[n]], boxes[n]))
    return _boxes([boxes[n] for n in order])


def _boxes(boxes: Sequence[Box]) -> torch.Tensor:
    return torch.tensor(boxes, dtype=torch.int64).reshape(-1, 4)


def _box(component: np.ndarray, seen: Sequence[float], frame: Frame) -> Box:
    """XYXY in pixels of the photo around a component (h, w), which has a photo's ``seen`` cells."""
    sides = []
    for axis in (1, 0):
        cells = np.flatnonzero(component.any(1 - axis))
        pixels = frame.original[axis] / seen[axis]
        end = min(math.ceil((int(cells[-1]) + 1) * pixels), frame.original[axis])
        sides.append((math.floor(int(cells[0]) * pixels), end))
    (left, right), (top, bottom) = sides
    return left, top, right, bottom


def shared_vehicles(
    hulls: Mapping[int, Box], components: torch.Tensor
) -> tuple[list[int], list[Box]]:
    """The vehicles whose masks cover several components, and these components.

    Args:
        hulls: boxes of a photo's vehicles, by id.
        components: (K, 4) of it, see :func:`vehicle_components`.

    Returns:
        Ids, and the boxes of the components that are not all that another vehicle covers.
    """
    boxes: list[Box] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in components.tolist()]
    held = {
        id_: [n for n, box in enumerate(boxes) if shared(box, hull) >= _SAME]
        for id_, hull in hulls.items()
    }
    several = [id_ for id_, own in held.items() if len(own) > 1]
    homes = {n for own in held.values() if len(own) == 1 for n in own}
    free = {n for id_ in several for n in held[id_]} - homes
    return several, [boxes[n] for n in sorted(free)]
