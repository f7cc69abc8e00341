"""Part vocabularies and their knowledge graphs; several of them as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx

from sav.errors import SAVError
from sav.ontology.relations import Relation, find_contradiction


@dataclass(frozen=True)
class Concept:
    """A node of the knowledge graph that is no part class, such as the vehicle itself.

    Attributes:
        name: unique in the ontology.
        description: what the text encoder reads.
        position: nominal centre in the vehicle's frame, each in [-1, 1]: x forward, y to the
            vehicle's left, z up.
    """

    name: str
    description: str
    position: tuple[float, float, float]


@dataclass(frozen=True)
class PartClass(Concept):
    """One part class.

    Attributes:
        id: contiguous from 0, in file order.
        color: RGB, 0 to 255.
        side: the vehicle's own side, "left", "right" or "none".
        mirror: name of the class it becomes when a photo is flipped, or None.
        max_instances: how many of it one photo can show; the number of query slots.
        node: what it is called in every vocabulary. Classes of two vocabularies with the same node
            are one class in a model that knows both.
    """

    id: int
    color: tuple[int, int, int]
    side: str
    mirror: str | None
    max_instances: int
    node: str


@dataclass(frozen=True)
class Ontology:
    """A part vocabulary and its knowledge graph.

    Attributes:
        name: short name, as configs give it.
        classes: the part classes in id order.
        concepts: further graph nodes.
        relations: every relation that holds, derived ones included, sorted.
        joined: the vocabularies that it joins; empty unless it joins several.
    """

    name: str
    classes: tuple[PartClass, ...]
    concepts: tuple[Concept, ...]
    relations: tuple[Relation, ...]
    joined: tuple[Ontology, ...] = ()

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def nodes(self) -> tuple[Concept, ...]:
        """Part classes first, then concepts: the node order of the graph encoder."""
        return self.classes + self.concepts

    @property
    def class_names(self) -> list[str]:
        """Names in id order."""
        return [part.name for part in self.classes]

    @property
    def colors(self) -> list[tuple[int, int, int]]:
        """RGB colours in id order."""
        return [part.color for part in self.classes]

    @property
    def slots(self) -> list[int]:
        """Number of query slots of each class."""
        return [part.max_instances for part in self.classes]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {part.name: part.id for part in self.classes}

    @property
    def mirror_ids(self) -> list[int]:
        """For each class the id of its mirror; a class without one mirrors itself."""
        return [self._ids[part.mirror or part.name] for part in self.classes]

    @property
    def vocabularies(self) -> tuple[Ontology, ...]:
        """What photos can be annotated with: the joined vocabularies, or itself."""
        return self.joined or (self,)

    def vocabulary_index(self, name: str) -> int:
        """The place of one of its vocabularies; the first for an empty name.

        Raises:
            SAVError: there is no such vocabulary.
        """
        known = [vocabulary.name for vocabulary in self.vocabularies]
        if name and name not in known:
            raise SAVError(f"vocabulary '{name}': the model knows {', '.join(known)}")
        return known.index(name) if name else 0

    def ids_of(self, vocabulary: Ontology) -> list[int]:
        """The ids here of the classes of one of its vocabularies, in that one's order."""
        return [self._ids[part.node if self.joined else part.name] for part in vocabulary.classes]

    @property
    def vocabulary_ids(self) -> list[list[int]]:
        """For each vocabulary and class the class's id in it, -1 where it does not have it."""
        members = [self.ids_of(vocabulary) for vocabulary in self.vocabularies]
        return [[ids.index(i) if i in ids else -1 for i in range(len(self))] for ids in members]

    def class_id(self, name: str) -> int:
        """Id of a class.

        Raises:
            SAVError: there is no such class.
        """
        if name not in self._ids:
            known = ", ".join(self.class_names)
            raise SAVError(f"ontology {self.name}: no class '{name}'; its classes are: {known}")
        return self._ids[name]

    @cached_property
    def graph(self) -> nx.MultiDiGraph:
        """The knowledge graph, which cannot be changed.

        Nodes are named, in node order, and have the attributes of their class or concept. Each
        relation is an edge from its subject to its object, keyed by the predicate.
        """
        graph = nx.MultiDiGraph(name=self.name)
        graph.add_nodes_from((node.name, vars(node)) for node in self.nodes)
        graph.add_edges_from((r.subject, r.object, r.predicate) for r in self.relations)
        return nx.freeze(graph)

    @cached_property
    def body_ids(self) -> tuple[int, ...]:
        """Classes that other classes are part of: one instance of them is one vehicle."""
        bodies = {fact.object for fact in self.relations if fact.predicate == "part_of"}
        return tuple(part.id for part in self.classes if part.name in bodies)


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
    concepts: dict[str, Concept] = {}
    relations: set[Relation] = set()
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
        for concept in ontology.concepts:
            concepts.setdefault(concept.name, concept)
        for r in ontology.relations:
            subject, target = node_of.get(r.subject, r.subject), node_of.get(r.object, r.object)
            relations.add(Relation(subject, r.predicate, target))
    clash = sorted(classes.keys() & concepts.keys())
    if clash:
        raise SAVError(f"ontology {name}: '{clash[0]}' is a part in one and a concept in another")
    wrong = find_contradiction(dict.fromkeys(sorted(relations)))
    if wrong is not None:
        raise SAVError(f"ontology {name}: '{wrong}' contradicts a relation of another vocabulary")
    nodes = tuple(classes.values()), tuple(concepts.values())
    return Ontology(name, *nodes, tuple(sorted(relations)), tuple(ontologies))
