"""The relations in a picture of a knowledge graph: which are drawn, how, and on which way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from sav.ontology.ontology import Ontology
from sav.ontology.placement import Placement
from sav.ontology.relations import INVERSE, Relation

WIDTHS = (0.6, 3.4)
"""Line widths of relations whose mined support is 0 and 1, points."""

_ABREAST = 8.0  # points between relations of the same two nodes
_BENDS = (0.0, 0.15, -0.15, 0.3, -0.3, 0.45, -0.45)


@dataclass(frozen=True)
class LineStyle:
    """How a predicate is drawn."""

    color: str
    dashes: str | tuple[int, tuple[float, ...]]
    width: float
    head: str = "-|>"


STYLES = {
    "part_of": LineStyle("#c3cad2", "-", 0.7, "-"),
    "mirror_of": LineStyle("#9aa4ae", (0, (1, 2.2)), 1.1, "-"),
    "left_of": LineStyle("#2f9e6e", (0, (6, 2, 1, 2, 1, 2)), 1.2),
    "adjacent_to": LineStyle("#4a5560", "-", 1.5, "-"),
    "in_front_of": LineStyle("#d9730d", (0, (5, 2, 1, 2)), 1.3),
    "above": LineStyle("#2563c9", (0, (4, 2)), 1.3),
    "inside": LineStyle("#9b30b8", (0, (1.2, 1.2)), 1.8),
}
"""Of a predicate and its inverse, one is drawn."""

_BACKGROUND = {"part_of", "mirror_of"}  # drawn straight, behind the others


def drawn_relations(ontology: Ontology) -> list[Relation]:
    """The relations to draw: one of each with its inverse.

    That a class lies to the left of its mirror image goes without saying.
    """
    graph, styles = ontology.graph, list(STYLES)
    order = {name: i for i, name in enumerate(graph)}
    relations = [
        Relation(subject, predicate, target)
        for subject, target, predicate in graph.edges(keys=True)
        if predicate in STYLES
        and (INVERSE[predicate] != predicate or order[subject] < order[target])
        and (predicate != "left_of" or not graph.has_edge(subject, target, "mirror_of"))
    ]
    return sorted(
        relations, key=lambda r: (styles.index(r.predicate), order[r.subject], order[r.object])
    )


def draw_edges(
    axes: Axes,
    ontology: Ontology,
    boxes: Sequence[FancyBboxPatch],
    placement: Placement,
    support: Mapping[Relation, float],
) -> list[Relation]:
    """Draw the relations between nodes that are drawn already.

    Args:
        axes: one unit is one point.
        ontology: V nodes.
        boxes: their V patches.
        placement: of the nodes.
        support: relation -> support in [0, 1], which its width shows; others have the width of
            their style.

    Returns:
        The relations that were drawn.
    """
    relations = drawn_relations(ontology)
    index = {name: i for i, name in enumerate(ontology.graph)}
    groups: dict[tuple[int, int], list[Relation]] = defaultdict(list)
    for relation in relations:
        first, second = sorted((index[relation.subject], index[relation.object]))
        groups[first, second].append(relation)
    bent = [pair for pair, group in groups.items() if {r.predicate for r in group} - _BACKGROUND]
    mirrors = ontology.mirror_ids + list(range(len(ontology), len(ontology.nodes)))
    bend_of = bends(bent, mirrors, placement)
    for (first, second), group in groups.items():
        along = placement.centres[second] - placement.centres[first]
        normal = np.array([along[1], -along[0]]) / max(np.hypot(*along), 1e-6)
        for lane, relation in enumerate(group):
            style = STYLES[relation.predicate]
            behind = relation.predicate in _BACKGROUND
            width = style.width
            if relation in support and not behind:
                width = float(np.interp(support[relation], (0, 1), WIDTHS))
            ends = index[relation.subject], index[relation.object]
            bend = bend_of.get((first, second), 0.0) * (1 if ends[0] == first else -1)
            shift = normal * _ABREAST * (lane - (len(group) - 1) / 2)
            arrow = FancyArrowPatch(
                *(placement.centres[end] + shift for end in ends),
                patchA=boxes[ends[0]],
                patchB=boxes[ends[1]],
                shrinkA=0,
                shrinkB=1,
                connectionstyle=f"arc3,rad={bend}",
                arrowstyle=style.head,
                mutation_scale=7 + 1.5 * width,
                linestyle=style.dashes,
                linewidth=width,
                color=style.color,
                capstyle="butt",
                joinstyle="miter",
                zorder=1 if behind else 2,
            )
            axes.add_patch(arrow)
    return relations


def bends(
    pairs: Sequence[tuple[int, int]], mirrors: Sequence[int], placement: Placement
) -> dict[tuple[int, int], float]:
    """How much the way between two nodes is bent, to run through as few others as can be.

    Args:
        pairs: nodes to join.
        mirrors: (V,) for each node its mirror, or itself. Ways within one side and their mirror
            images are bent to the same degree.
        placement: of the V nodes.

    Returns:
        For each pair its bend: the way leaves the straight line by half of this share of its
        length, to the right of the walk from the first node to the second where it is positive.
    """
    chosen: dict[tuple[int, int], float] = {}
    for first, second in pairs:
        image = mirrors[first], mirrors[second]
        on_a_side = first != image[0] and second != image[1]
        if on_a_side and image in chosen:
            chosen[first, second] = -chosen[image]
        elif on_a_side and image[::-1] in chosen:
            chosen[first, second] = chosen[image[::-1]]
        else:
            costs = [_cost(first, second, bend, placement) for bend in _BENDS]
            chosen[first, second] = _BENDS[int(np.argmin(costs))]
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
    length = float(np.hypot(dx, dy))
    return float((inside + off).mean()) * length + 30 * abs(bend)
