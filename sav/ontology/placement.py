"""Where the nodes of a knowledge graph are drawn: a vehicle unfolded onto the page.

The front is to the right. The middle row shows what lies on no side, as seen from the side of the
vehicle; the left side is folded out above it and the right side below it, so that the two are
mirror images of each other about the middle row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sav.ontology.ontology import Ontology, PartClass

# Points (1/72 inch).
_REACH = np.array([220.0, 62.0])  # where x = 1 and z = 1 are drawn, before nodes are moved apart
_GAP = np.array([30.0, 25.0])  # least room between nodes, for edges and their heads
_ROW_GAP = 50.0
_CONCEPT_REACH = 1.35
_STEPS = 2000


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


def row_of(node: object) -> int:
    """1 for the left side, -1 for the right one, 0 for the middle row."""
    side = node.side if isinstance(node, PartClass) else "none"
    return {"left": 1, "right": -1, "none": 0}[side]


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
    row = Placement(_move_apart(start[middle], sizes[middle]), sizes[middle])
    # The name of a part or that of its mirror image may be the longer one.
    mirrors = np.array(ontology.mirror_ids)[left]
    common = np.maximum(sizes[left], sizes[mirrors])
    # Of a side that is folded out, wheels and sills are the far edge.
    side = Placement(_move_apart(start[left] * (1, -1), common), common)
    centres = np.zeros_like(start)
    centres[middle], centres[left] = row.centres, side.centres
    if len(middle):
        centres[middle, 1] -= (row.low[:, 1].min() + row.high[:, 1].max()) / 2
    if len(left):
        top = (centres[middle, 1] + sizes[middle, 1] / 2).max(initial=0)
        centres[left, 1] += top + _ROW_GAP - side.low[:, 1].min()
        centres[mirrors] = centres[left] * (1, -1)
    return Placement(centres, sizes)


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
