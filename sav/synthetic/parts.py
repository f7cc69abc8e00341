"""The renderer's own fine parts, and what each vocabulary calls them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from sav.ontology import Ontology, View, load_ontology

GRAPH = load_ontology("vehicle")
"""Its classes are the parts that are painted."""

FINE_PARTS: tuple[str, ...] = tuple(GRAPH.class_names)
"""Names of the fine parts; the part with index ``i`` has the value ``i + 1`` in part maps."""

PART_ID: dict[str, int] = {name: index + 1 for index, name in enumerate(FINE_PARTS)}
"""Value of each fine part in part maps; 0 is background."""

NUM_PART_VALUES = len(FINE_PARTS) + 1


def swap_sides() -> np.ndarray:
    """Table (NUM_PART_VALUES,) uint8 that turns each part value into that of its mirror image."""
    return np.array([0, *(mirror + 1 for mirror in GRAPH.mirror_ids)], np.uint8)


@dataclass(frozen=True, eq=False)
class InstanceRule:
    """What one vehicle can show one instance of.

    Attributes:
        class_id: in the vocabulary.
        shows: (NUM_PART_VALUES,) bool; the instance is there where one of these parts is seen.
        extent: (NUM_PART_VALUES,) bool; the parts that its mask covers, those that lie on it too.
    """

    class_id: int
    shows: np.ndarray
    extent: np.ndarray


@dataclass(frozen=True, eq=False)
class PartMapping:
    """How a vocabulary names the fine parts.

    Attributes:
        ontology: the vocabulary.
        rules: every instance that a vehicle can show, in class order.
    """

    ontology: Ontology
    rules: tuple[InstanceRule, ...]


@cache
def load_mapping(name: str) -> PartMapping:
    """How a view of the graph of vehicle parts, or the graph itself, names the fine parts.

    Where one class says less than another one ("a front door" and "the left front door"), parts
    have the class that says more: the renderer always knows the side. A body (see
    ``Ontology.body_ids``) covers the whole vehicle, as in real annotations.

    Args:
        name: a shipped name or the path of a YAML file.

    Raises:
        SAVError: there is no such vocabulary, or it is no view of the graph.
    """
    view = View.of(load_ontology(name), GRAPH)
    ontology = view.vocabulary
    owner: dict[str, int] = {}
    for index in sorted(range(len(ontology)), key=lambda i: -len(view.unions[i].parts)):
        owner |= dict.fromkeys(view.unions[index].parts, index)
    rules = []
    for index, union in enumerate(view.unions):
        own = [part for part in union.parts if owner[part] == index]
        if index in ontology.body_ids:
            own = FINE_PARTS
        for parts in ([part] for part in own) if union.each else [own]:
            rules.append(InstanceRule(index, _table(parts), _table([*parts, *union.attached])))
    return PartMapping(ontology, tuple(rule for rule in rules if rule.shows.any()))


def _table(parts: Iterable[str]) -> np.ndarray:
    """(NUM_PART_VALUES,) bool, true for some parts."""
    table = np.zeros(NUM_PART_VALUES, bool)
    table[[PART_ID[part] for part in parts]] = True
    return table
