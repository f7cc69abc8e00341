"""A part vocabulary and its knowledge graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from sav.errors import SAVError
from sav.ontology.relations import Relation


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

    def ids_of(self, vocabulary: Ontology) -> list[int]:
        """The ids here of the classes of one of its vocabularies, in that one's order."""
        if not self.joined:
            return [part.id for part in self.classes]
        return [self._ids[part.node] for part in vocabulary.classes]

    @property
    def vocabulary_ids(self) -> list[list[int]]:
        """For each vocabulary and class the class's id in it, -1 where it does not have it."""
        places = [{own: i for i, own in enumerate(self.ids_of(v))} for v in self.vocabularies]
        return [[place.get(part.id, -1) for part in self.classes] for place in places]

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
        edges = self.graph.edges(keys=True)
        bodies = {target for _, target, predicate in edges if predicate == "part_of"}
        return tuple(part.id for part in self.classes if part.name in bodies)
