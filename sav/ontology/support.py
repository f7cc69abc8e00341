"""What mined priors say for each relation of a knowledge graph."""

from __future__ import annotations

from sav.ontology.ontology import Ontology
from sav.ontology.priors import Priors
from sav.ontology.relations import Relation


def relation_support(ontology: Ontology, priors: Priors) -> dict[Relation, float]:
    """How well annotations bear out each relation between two part classes.

    The lower end of a 95% interval, so that few counts give little support: for adjacent_to of the
    share of vehicles in which the masks touch, for inside and contains of the share of the part's
    box that lies in the other's, for all others of how often one is seen where the other is (the
    mean of both directions).

    Args:
        ontology: the knowledge graph.
        priors: of the same vocabulary.

    Returns:
        Each relation whose ends are classes -> support in [0, 1].
    """
    index = {name: i for i, name in enumerate(ontology.class_names)}
    seen, contained = priors.co_visibility.low, priors.contained.low
    measured = {
        "adjacent_to": priors.adjacency.low,
        "inside": contained.T,
        "contains": contained,
    }
    both_ways = (seen + seen.T) / 2
    return {
        fact: float(
            measured.get(fact.predicate, both_ways)[index[fact.subject], index[fact.object]]
        )
        for fact in ontology.relations
        if fact.subject in index and fact.object in index
    }
