"""From overlapping shapes to what is visible of each, and whose part it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np

from sav.formats.masks import visible_codes
from sav.formats.records import PartInstance
from sav.formats.vehicles import assign_vehicles

FOREGROUND_MODES = ("rest", "whole")
_MIN_VISIBLE_PIXELS = 4


def paint(
    parts: Sequence[PartInstance], bodies: Collection[str], foreground: str, notes: Counter[str]
) -> list[PartInstance]:
    """Resolve overlaps: bodies first, then the other parts, the smaller over the larger.

    Args:
        parts: as drawn, all of one photo.
        bodies: classes whose shape covers a whole vehicle.
        foreground: "rest" keeps of a body what the other parts leave, so that no two parts
            overlap; "whole" keeps its full shape.
        notes: counts those that are dropped.

    Returns:
        the instances in the order of the shapes, without those of which the others leave fewer
        than four pixels.
    """
    order = sorted(range(len(parts)), key=lambda i: (parts[i].label not in bodies, -parts[i].area))
    visible = visible_codes([parts[i].code for i in order])
    codes = [code for _, code in sorted(zip(order, visible, strict=True), key=itemgetter(0))]
    whole = bodies if foreground == "whole" else ()
    painted = [
        part if part.label in whole else replace(part, code=code)
        for part, code in zip(assign_vehicles(parts, bodies), codes, strict=True)
    ]
    found = [part for part in painted if part.area >= _MIN_VISIBLE_PIXELS]
    dropped = len(painted) - len(found)
    notes[f"shapes under {_MIN_VISIBLE_PIXELS} visible pixels dropped"] += dropped
    return found


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
