"""Where a knowledge graph is drawn: a vehicle unfolded onto the page, and ways between its parts.

The front is to the right. The middle row shows what lies on no side, as seen from the side of the
vehicle; the left side is folded out above it and the right side below it, so that the two are
mirror images of each other about the middle row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sav.ontology.ontology import Concept, Ontology

# Points (1/72 inch).
_REACH = np.array([220.0, 62.0])  # where x = 1 and z = 1 are drawn, before nodes are moved apart
_GAP = np.array([30.0, 25.0])  # least room between nodes, for edges and their heads
_ROW_GAP = 50.0
_CONCEPT_REACH = 1.35
_STEPS = 2000
_BENDS = (0.0, 0.15, -0.15, 0.3, -0.3, 0.45, -0.45)


@dataclass(frozen=True, eq=False)
class Placement:
    """Boxes of the V nodes of a graph on the page, x to the right and y up.

    Attributes:
        centres: (V, 2) points.
        sizes: (V, 2) width and height, points.
    """

    centres: np.ndarray
    sizes: np.ndarray

    @property
    def low(self) -> np.ndarray:
        """(V, 2) left and bottom of each box."""
        return self.centres - self.sizes / 2

    @property
    def high(self) -> np.ndarray:
        """(V, 2) right and top of each box."""
        return self.centres + self.sizes / 2


def row_of(node: Concept) -> int:
    """1 for the left side, -1 for the right one, 0 for the middle row."""
    return {"left": 1, "right": -1}.get(getattr(node, "side", "none"), 0)


def place_nodes(ontology: Ontology, sizes: np.ndarray) -> Placement:
    """Place nodes at their positions on the vehicle, moved apart until none overlaps.

    Args:
        ontology: V nodes.
        sizes: (V, 2) width and height of each node, points.

    Returns:
        A placement in which the right side is the exact reflection of the left one about y = 0.
    """
    rows = np.array([row_of(node) for node in ontology.nodes])
    positions = np.array([node.position for node in ontology.nodes])
    start = positions[:, [0, 2]] * _REACH
    # Concepts such as the front end lie beyond the parts there.
    start[len(ontology) :, 0] *= _CONCEPT_REACH
    middle, left = np.flatnonzero(rows == 0), np.flatnonzero(rows == 1)
    row = _move_apart(start[middle], sizes[middle])
    # The name of a part or that of its mirror image may be the longer one.
    mirrors = np.array(ontology.mirror_ids)[left]
    # Of a side that is folded out, wheels and sills are the far edge.
    side = _move_apart(start[left] * (1, -1), np.maximum(sizes[left], sizes[mirrors]))
    centres = np.zeros_like(start)
    centres[middle], centres[left] = row.centres, side.centres
    if len(middle):
        centres[middle, 1] -= (row.low[:, 1].min() + row.high[:, 1].max()) / 2
    if len(left):
        top = (centres[middle, 1] + sizes[middle, 1] / 2).max(initial=0)
        centres[left, 1] += top + _ROW_GAP - side.low[:, 1].min()
        centres[mirrors] = centres[left] * (1, -1)
    return Placement(centres, sizes)


def _move_apart(start: np.ndarray, sizes: np.ndarray) -> Placement:
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
    return Placement(centres, sizes)


def bends(
    pairs: Iterable[tuple[int, int]], mirrors: Sequence[int], placement: Placement
) -> dict[tuple[int, int], float]:
    """How much the way between two nodes is bent, to run through as few others as can be.

    Args:
        pairs: nodes to join.
        mirrors: (V,) for each node its mirror, or itself. Ways within one side and their mirror
            images are bent to the same degree.
        placement: of the V nodes.

    Returns:
        For each pair, in both directions, its bend: the way leaves the straight line by half of
        this share of its length, to the right of the walk from the first node to the second where
        it is positive.
    """
    chosen: dict[tuple[int, int], float] = {}
    for first, second in pairs:
        if (first, second) in chosen:
            continue
        bend = min(_BENDS, key=lambda bend: _cost(first, second, bend, placement))
        image = mirrors[first], mirrors[second]
        if image[0] != first and image[1] != second:
            chosen |= {image: -bend, image[::-1]: bend}
        chosen |= {(first, second): bend, (second, first): -bend}
    return chosen


def _cost(first: int, second: int, bend: float, placement: Placement) -> float:
    """Length of a bent way inside other nodes or off the page, and a little for the bend itself."""
    start, end = placement.centres[[first, second]]
    dx, dy = end - start
    control = (start + end) / 2 + bend * np.array([dy, -dx])
    t = np.linspace(0, 1, 60)[:, None]
    way = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
    others = np.delete(np.arange(len(placement.centres)), [first, second])
    apart = np.abs(way[:, None] - placement.centres[others])
    inside = (apart < placement.sizes[others] / 2 + 4).all(2).sum(1)
    off = ((way < placement.low.min(0)) | (way > placement.high.max(0))).any(1)
    return float((inside + off).mean() * np.hypot(dx, dy)) + 30 * abs(bend)
