"""Where the nodes of a knowledge graph are drawn: a vehicle unfolded onto the page.

The front is to the right. The middle row shows what lies on no side, as seen from the side of the
vehicle; the left side is folded out above it and the right side below it, so that the two are
mirror images of each other about the middle row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sav.ontology.ontology import Ontology, PartClass

# Points (1/72 inch).
_REACH = np.array([220.0, 62.0])  # where x = 1 and z = 1 are drawn, before nodes are moved apart
_GAP = np.array([30.0, 25.0])  # least room between nodes, for edges and their heads
_ROW_GAP = 50.0
_CONCEPT_REACH = 1.35
_STEPS = 2000
_BENDS = (0.0, 0.15, -0.15, 0.3, -0.3, 0.45, -0.45)


def row_of(node: object) -> int:
    """1 for the left side, -1 for the right one, 0 for the middle row."""
    side = node.side if isinstance(node, PartClass) else "none"
    return {"left": 1, "right": -1, "none": 0}[side]


def place_nodes(ontology: Ontology, sizes: np.ndarray) -> np.ndarray:
    """Place nodes at their positions on the vehicle, moved apart until none overlaps.

    Args:
        ontology: V nodes.
        sizes: (V, 2) width and height of each node, points.

    Returns:
        (V, 2) centres, points, x to the right and y up. The right side is the exact reflection of
        the left one about y = 0.
    """
    rows = np.array([row_of(node) for node in ontology.nodes])
    positions = np.array([node.position for node in ontology.nodes])
    start = positions[:, [0, 2]] * _REACH
    # Concepts such as the front end lie beyond the parts there.
    start[len(ontology) :, 0] *= _CONCEPT_REACH
    centres = np.zeros_like(start)
    middle, left = np.flatnonzero(rows == 0), np.flatnonzero(rows == 1)
    centres[middle] = _move_apart(start[middle], sizes[middle])
    # Of a side that is folded out, wheels and sills are the far edge. Its name or that of its
    # mirror image may be the longer one.
    mirrors = np.array(ontology.mirror_ids)[left]
    common = np.maximum(sizes[left], sizes[mirrors])
    centres[left] = _move_apart(start[left] * (1, -1), common)
    if len(middle):
        centres[middle, 1] -= _middle_of(centres[middle], sizes[middle])
    if len(left):
        top = (centres[middle, 1] + sizes[middle, 1] / 2).max(initial=0)
        bottom = (centres[left, 1] - common[:, 1] / 2).min()
        centres[left, 1] += top + _ROW_GAP - bottom
        centres[mirrors] = centres[left] * (1, -1)
    return centres


def bends(
    pairs: Sequence[tuple[int, int]], mirrors: Sequence[int], centres: np.ndarray, sizes: np.ndarray
) -> dict[tuple[int, int], float]:
    """How much the way between two nodes is bent, to run through as few others as can be.

    Args:
        pairs: nodes to join.
        mirrors: (V,) for each node its mirror, or itself. Ways within one side and their mirror
            images are bent alike.
        centres: (V, 2) points.
        sizes: (V, 2) points.

    Returns:
        For each pair its bend: the way leaves the straight line by half of this share of its
        length, to the right of the walk from the first node to the second where it is positive.
    """
    chosen: dict[tuple[int, int], float] = {}
    frame = (centres - sizes / 2).min(0), (centres + sizes / 2).max(0)
    for first, second in pairs:
        image = mirrors[first], mirrors[second]
        if image in chosen and first != image[0] and second != image[1]:
            chosen[first, second] = -chosen[image]
        elif image[::-1] in chosen and first != image[0] and second != image[1]:
            chosen[first, second] = chosen[image[::-1]]
        else:
            others = np.delete(np.arange(len(centres)), [first, second])
            ends = centres[first], centres[second]
            cost = [_cost(ends, b, centres[others], sizes[others], frame) for b in _BENDS]
            chosen[first, second] = _BENDS[int(np.argmin(cost))]
    return chosen


def _move_apart(start: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Push rectangles apart, each pair along the axis on which less is missing."""
    centres = start.copy()
    room = (sizes[:, None] + sizes[None]) / 2 + _GAP
    order = np.sign(np.subtract.outer(np.arange(len(start)), np.arange(len(start))))
    for _ in range(_STEPS):
        apart = centres[:, None] - centres[None]
        missing = room - np.abs(apart)
        overlap = (missing > 1e-3).all(2) & (order != 0)
        if not overlap.any():
            break
        axis = np.argmin(missing, axis=2)
        # Nodes at one place part in the order of the file.
        direction = np.where(apart == 0, order[..., None], np.sign(apart))
        push = direction * missing * overlap[..., None] * np.eye(2)[axis]
        centres += 0.3 * push.sum(1)
    return centres


def _middle_of(centres: np.ndarray, sizes: np.ndarray) -> float:
    low, high = centres[:, 1] - sizes[:, 1] / 2, centres[:, 1] + sizes[:, 1] / 2
    return float(low.min() + high.max()) / 2


def _cost(
    ends: tuple[np.ndarray, np.ndarray],
    bend: float,
    centres: np.ndarray,
    sizes: np.ndarray,
    frame: tuple[np.ndarray, np.ndarray],
) -> float:
    """Length of a bent way inside other nodes or off the page, and a little for the bend itself."""
    t = np.linspace(0, 1, 60)[:, None]
    dx, dy = ends[1] - ends[0]
    control = (ends[0] + ends[1]) / 2 + bend * np.array([dy, -dx])
    way = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * control + t**2 * ends[1]
    inside = (np.abs(way[:, None] - centres[None]) < sizes / 2 + 4).all(2).sum(1)
    off = ((way < frame[0]) | (way > frame[1])).any(1)
    length = float(np.hypot(dx, dy))
    return float((inside + off).mean()) * length + 30 * abs(bend)
