"""From overlapping shapes to what is visible of each part, and whose part it is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from sav.formats.records import PartInstance
from sav.formats.vehicles import assign_vehicles

FOREGROUND_MODES = ("rest", "whole")
MIN_VISIBLE_PIXELS = 4


def paint(
    shapes: Sequence[PartInstance], body_ids: Collection[int], foreground: str
) -> Iterator[PartInstance]:
    """Resolve overlaps: bodies first, then the other parts, the smaller over the larger.

    Args:
        shapes: as drawn, all of one (H, W); see :func:`sav.formats.labelme.read_labelme`.
        body_ids: classes whose shape covers a whole vehicle.
        foreground: "rest" keeps of a body what the other parts leave, so that no two parts
            overlap; "whole" keeps its full shape.

    Returns:
        the instances in the order of the shapes, without those of which the others leave fewer
        than ``MIN_VISIBLE_PIXELS``.
    """
    if not shapes:
        return
    masks = [shape.mask for shape in shapes]
    canvas = topmost(masks, masks[0].shape, [shape.class_id in body_ids for shape in shapes])
    for i, (shape, vehicle) in enumerate(
        zip(shapes, assign_vehicles(shapes, body_ids), strict=True)
    ):
        keep = foreground == "whole" and shape.class_id in body_ids
        mask = shape.mask if keep else canvas == i
        if np.count_nonzero(mask) >= MIN_VISIBLE_PIXELS:
            yield PartInstance(shape.class_id, mask, vehicle)


def topmost(
    masks: Sequence[np.ndarray], size: tuple[int, int], at_bottom: Sequence[bool] | None = None
) -> np.ndarray:
    """Paint masks over each other, the smaller over the larger.

    Args:
        masks: N of (H, W), bool or uint8.
        size: H, W in pixels.
        at_bottom: N; those masks lie below all others.

    Returns:
        (H, W) int32: the mask that is on top, -1 where there is none.
    """
    bottom = at_bottom or [False] * len(masks)
    order = sorted(range(len(masks)), key=lambda i: (not bottom[i], -np.count_nonzero(masks[i])))
    canvas = np.full(size, -1, dtype=np.int32)
    for i in order:
        canvas[masks[i].astype(bool)] = i
    return canvas
