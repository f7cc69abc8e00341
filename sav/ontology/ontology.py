"""Part vocabularies and their knowledge graphs."""

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
    """

    id: int
    color: tuple[int, int, int]
    side: str
    mirror: str | None
    max_instances: int


@dataclass(frozen=True)
class Union:
    """What a class is in the parts of another, finer knowledge graph.

    Attributes:
        parts: names of the parts that it is made of; it is there where one of them is.
        attached: names of parts that lie on it, and belong to its mask, but do not say that it is
            there: a plate belongs to the bumper that it hangs on.
        each: whether each of the parts is an instance of its own, such as a wheel. Otherwise those
            of one vehicle are one instance.
        rest: whether it is what the other classes leave of a vehicle.
    """

    parts: tuple[str, ...]
    attached: tuple[str, ...] = ()
    each: bool = False
    rest: bool = False

    def __str__(self) -> str:
        parts = (", " if self.each else " + ").join(self.parts) or "none"
        each = "each of " if self.each else ""
        return each + parts + (f", with {', '.join(self.attached)}" if self.attached else "")


@dataclass(frozen=True)
class Ontology:
    """A part vocabulary and its knowledge graph.

    Attributes:
        name: short name, as configs give it.
        classes: the part classes in id order.
        concepts: further graph nodes.
        relations: every relation that holds, derived ones included, sorted.
        view_of: name of the knowledge graph of finer parts that it is a view of, or "".
        unions: what each class is in the parts of that graph; empty without one.
    """

    name: str
    classes: tuple[PartClass, ...]
    concepts: tuple[Concept, ...]
    relations: tuple[Relation, ...]
    view_of: str = ""
    unions: tuple[Union, ...] = ()

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
    def part_names(self) -> list[str]:
        """For each class the parts of the finer graph that it is, or else its own name.

        Classes of two vocabularies with the same parts are the same.
        """
        if not self.unions:
            return self.class_names
        return ["+".join((*union.parts, *union.attached)) for union in self.unions]

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

    @property
    def once_ids(self) -> tuple[int, ...]:
        """Classes of which a vehicle has one part: those of a side."""
        return tuple(part.id for part in self.classes if part.side != "none")

    @cached_property
    def body_ids(self) -> tuple[int, ...]:
        """Classes that other classes are part of: one instance of them is one vehicle."""
        bodies = {fact.object for fact in self.relations if fact.predicate == "part_of"}
        return tuple(part.id for part in self.classes if part.name in bodies)

    @property
    def rest_ids(self) -> tuple[int, ...]:
        """The class that is what the others leave of a vehicle; empty without one."""
        return tuple(i for i, union in enumerate(self.unions) if union.rest)
