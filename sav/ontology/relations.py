"""The closed list of relations between parts, and what follows from one of them.

An ontology file states a fact once. Its inverse ("the hood is in front of the front window" says
that the window is behind the hood) and its mirror image (what holds for the left door holds for
the right one) are derived here, so that no graph can favour one side of the vehicle.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

INVERSE: dict[str, str] = {
    "part_of": "has_part",
    "has_part": "part_of",
    "adjacent_to": "adjacent_to",
    "above": "below",
    "below": "above",
    "in_front_of": "behind",
    "behind": "in_front_of",
    "inside": "contains",
    "contains": "inside",
    "left_of": "right_of",
    "right_of": "left_of",
    "mirror_of": "mirror_of",
}
"""Each predicate with the predicate that holds from object to subject."""

PREDICATES: tuple[str, ...] = tuple(INVERSE)


@dataclass(frozen=True, order=True)
class Relation:
    """One fact of the knowledge graph: ``subject predicate object``, by node name."""

    subject: str
    predicate: str
    object: str

    def inverse(self) -> Relation:
        """The same fact, told from the object."""
        return Relation(self.object, INVERSE[self.predicate], self.subject)

    def mirrored(self, mirror_of: dict[str, str]) -> Relation:
        """The fact that holds on the other side of the vehicle.

        Args:
            mirror_of: node name -> name of its mirror; nodes that are not in it mirror themselves.
        """
        subject, target = (mirror_of.get(name, name) for name in (self.subject, self.object))
        sideways = self.predicate in ("left_of", "right_of")
        return Relation(subject, INVERSE[self.predicate] if sideways else self.predicate, target)

    def __str__(self) -> str:
        return f"{self.subject} {self.predicate} {self.object}"


def close_under_symmetry(
    stated: list[Relation], mirror_of: dict[str, str]
) -> dict[Relation, Relation]:
    """Derive every inverse and mirror image.

    Args:
        stated: the relations of the file, in order.
        mirror_of: node name -> name of its mirror.

    Returns:
        Each relation that holds, mapped to the stated relation it was first derived from.
    """
    derived: dict[Relation, Relation] = {}
    for relation in stated:
        mirrored = relation.mirrored(mirror_of)
        for fact in (relation, relation.inverse(), mirrored, mirrored.inverse()):
            derived.setdefault(fact, relation)
    return derived


def find_contradiction(facts: Collection[Relation]) -> Relation | None:
    """The first relation that cannot hold beside another one.

    A directed predicate cannot hold both ways between two nodes ("above" and "below"), and no node
    is related to itself.

    Returns:
        The contradicted relation, or None where all is well.
    """
    for fact in facts:
        reverse = Relation(fact.object, fact.predicate, fact.subject)
        directed = INVERSE[fact.predicate] != fact.predicate
        if reverse in facts and (directed or reverse == fact):
            return fact
    return None
