"""A knowledge graph in numbers: matrices, neighbours, and what supports its relations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sav.ontology.ontology import Ontology
from sav.ontology.priors import Priors
from sav.ontology.relations import Relation


def relation_weights(
    ontology: Ontology,
    predicates: Sequence[str],
    support: Mapping[Relation, float] | None = None,
) -> np.ndarray:
    """The graph as one matrix a predicate.

    Args:
        ontology: V nodes.
        predicates: R predicates; relations of others are left out.
        support: how much a relation counts, see :func:`relation_support`; 1 for those that it
            does not name.

    Returns:
        (R, V, V) float32; entry (r, i, j) is the weight of the relation r from node i to node j,
        and 0 where there is none.
    """
    index = {name: i for i, name in enumerate(ontology.graph)}
    weights = np.zeros((len(predicates), len(index), len(index)), dtype=np.float32)
    for fact in ontology.relations:
        if fact.predicate in predicates:
            place = predicates.index(fact.predicate), index[fact.subject], index[fact.object]
            weights[place] = (support or {}).get(fact, 1.0)
    return weights


def relation_support(ontology: Ontology, priors: Priors) -> dict[Relation, float]:
    """How well annotations support each relation between two part classes.

    Support is the lower end of a 95% interval, so that few counts give little support. For
    adjacent_to it is the share of vehicles in which the masks touch. For inside and contains it is
    the share of the inner box that lies in the outer one. For all others it is how often one part
    is seen where the other one is, the mean of both directions.

    Args:
        ontology: the knowledge graph.
        priors: of the same vocabulary.

    Returns:
        Each relation whose ends are classes -> support in [0, 1].
    """
    index = {name: i for i, name in enumerate(ontology.class_names)}
    seen, held = priors.co_visibility.low, priors.containment.low
    measured = {"adjacent_to": priors.adjacency.low, "inside": held.T, "contains": held}
    mutual = (seen + seen.T) / 2
    return {
        fact: float(measured.get(fact.predicate, mutual)[index[fact.subject], index[fact.object]])
        for fact in ontology.relations
        if fact.subject in index and fact.object in index
    }


def touching_ids(ontology: Ontology) -> list[list[int]]:
    """For each class the classes that it is adjacent to, on its side of the vehicle.

    Returns:
        Class ids in ascending order. Where none of its neighbours is on its side, all of them.
    """
    adjacent = relation_weights(ontology, ["adjacent_to"])[0, : len(ontology), : len(ontology)]
    sides = np.array([part.side for part in ontology.classes])
    beside = (adjacent > 0) & (sides[:, None] == sides)
    chosen = np.where(beside.any(1, keepdims=True), beside, adjacent > 0)
    return [np.flatnonzero(row).tolist() for row in chosen]
