"""Several vocabularies as one, in which a part that two of them know is one node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sav.errors import SAVError
from sav.ontology.ontology import Concept, Ontology, PartClass
from sav.ontology.relations import Relation, find_contradiction


def join(ontologies: Sequence[Ontology]) -> Ontology:
    """The vocabulary of a model that is trained on data sets with different part lists.

    Classes of two ontologies with the same node are one class: it has the description of the first,
    and as many instances as the ontology that allows most of them. Relations add up.

    Args:
        ontologies: at least two, of different names.

    Returns:
        An ontology whose class names are node names and whose members are those given.

    Raises:
        SAVError: when they contradict one another.
    """
    name = "+".join(ontology.name for ontology in ontologies)
    if len({ontology.name for ontology in ontologies}) < len(ontologies):
        raise SAVError(f"ontology {name}: the same vocabulary twice")
    classes: dict[str, PartClass] = {}
    for ontology in ontologies:
        node_of = {part.name: part.node for part in ontology.classes}
        for part in ontology.classes:
            renamed = replace(part, name=part.node, mirror=part.mirror and node_of[part.mirror])
            known = classes.setdefault(part.node, replace(renamed, id=len(classes)))
            if (known.side, known.mirror) != (renamed.side, renamed.mirror):
                raise SAVError(
                    f"ontology {name}: '{part.node}' of {ontology.name} lies on another side, or "
                    "mirrors another part, than before"
                )
            slots = max(known.max_instances, renamed.max_instances)
            classes[part.node] = replace(known, max_instances=slots)
    concepts: dict[str, Concept] = {}
    relations: set[Relation] = set()
    for ontology in ontologies:
        node_of = {part.name: part.node for part in ontology.classes}
        for concept in ontology.concepts:
            concepts.setdefault(concept.name, concept)
        for r in ontology.relations:
            subject, target = node_of.get(r.subject, r.subject), node_of.get(r.object, r.object)
            relations.add(Relation(subject, r.predicate, target))
    clash = sorted(classes.keys() & concepts.keys())
    if clash:
        raise SAVError(f"ontology {name}: '{clash[0]}' is a part in one and a concept in another")
    wrong = find_contradiction({relation: relation for relation in sorted(relations)})
    if wrong is not None:
        raise SAVError(f"ontology {name}: '{wrong}' contradicts a relation of another vocabulary")
    return Ontology(
        name,
        tuple(classes.values()),
        tuple(concepts.values()),
        tuple(sorted(relations)),
        tuple(ontologies),
    )
