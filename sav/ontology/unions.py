"""Reading what the classes of a view are in the parts of its graph.

The format is described in ``sav/ontology/README.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from sav.ontology.ontology import PartClass, Union
from sav.ontology.source import LineMap, Source

VIEW_KEYS = frozenset({"parts", "each", "attached"})
_REST = "rest"


def read_unions(
    source: Source, classes: Sequence[PartClass], parts: Sequence[PartClass], graph: str
) -> tuple[Union, ...]:
    """Read and check the unions of a view.

    Args:
        source: the view's file.
        classes: of the view.
        parts: the classes of the graph.
        graph: its name.

    Returns:
        One a class, with the names of the parts that are the rest filled in.

    Raises:
        SAVError: the first thing that is wrong, with its line.
    """
    return _UnionReader(source, classes, parts, graph).read()


class _UnionReader:
    """Turns the keys of one view into unions; see :func:`read_unions`."""

    def __init__(
        self, source: Source, classes: Sequence[PartClass], parts: Sequence[PartClass], graph: str
    ) -> None:
        self.check = source.check
        self.root: LineMap = source.root
        self.entries: list[LineMap] = source.root["classes"]
        self.classes = classes
        self.parts = {part.name: part for part in parts}
        self.graph = graph

    def read(self) -> tuple[Union, ...]:
        unions = [self._read(*pair) for pair in zip(self.classes, self.entries, strict=True)]
        rest = [i for i, entry in enumerate(self.entries) if entry.get("parts") == _REST]
        for index in rest[1:]:
            first = self.classes[rest[0]].name
            self.check(False, self.entries[index], f"'{first}' is the rest of the parts already")
        if rest:
            taken = {name for union in unions for name in (*union.parts, *union.attached)}
            left = tuple(name for name in self.parts if name not in taken)
            unions[rest[0]] = replace(unions[rest[0]], parts=left, rest=True)
        some = any(union.parts for union in unions)
        self.check(some, self.root, f"no class has a part of {self.graph}")
        self._check_mirrors(unions)
        self._check_overlaps(unions)
        return tuple(unions)

    def _read(self, part: PartClass, entry: LineMap) -> Union:
        """The union of one class; that of the rest has no parts as yet."""
        self.check(not {"parts", "each"} <= entry.keys(), entry, "give 'parts' or 'each', not both")
        each = "each" in entry
        names = entry.get("each" if each else "parts", [part.name])
        names = [] if names == _REST and not each else names
        attached = entry.get("attached", [])
        self.check(not (each and attached), entry, "'attached' goes with 'parts', not with 'each'")
        for value in (names, attached):
            self.check(isinstance(value, list), entry, "parts are a list of names")
        names, attached = [str(name) for name in names], [str(name) for name in attached]
        found: set[str] = set()
        for name in (*names, *attached):
            self.check(name in self.parts, entry, f"'{name}' is no part of {self.graph}")
            self.check(name not in found, entry, f"'{part.name}' has the part '{name}' twice")
            found.add(name)
            side = self.parts[name].side
            fits = "none" in (side, part.side) or side == part.side
            self.check(fits, entry, f"'{part.name}' is on the {part.side} side, '{name}' is not")
        return Union(tuple(names), tuple(attached), each)

    def _check_mirrors(self, unions: Sequence[Union]) -> None:
        of = {part.name: union for part, union in zip(self.classes, unions, strict=True)}
        for part, entry in zip(self.classes, self.entries, strict=True):
            one, other = of[part.name], of[part.mirror or part.name]
            for mine, theirs in ((one.parts, other.parts), (one.attached, other.attached)):
                images = {self.parts[name].mirror or name for name in mine}
                odd = sorted(images ^ set(theirs))
                whose = f"'{part.mirror}'" if part.mirror else "its own mirror image"
                mistake = f"'{part.name}' and {whose} must have mirrored parts; not so: "
                self.check(not odd, entry, mistake + ", ".join(odd))
            same = f"'{part.name}' and '{part.mirror}' must both have 'parts' or 'each'"
            self.check(one.each == other.each, entry, same)

    def _check_overlaps(self, unions: Sequence[Union]) -> None:
        """A part may be in two classes only where one of these says less than the other."""
        for (i, one), (j, other) in combinations(enumerate(unions), 2):
            first, second = set(one.parts), set(other.parts)
            shared = sorted(first & second)
            allowed = not shared or first < second or second < first
            names = f"'{self.classes[i].name}' and '{self.classes[j].name}'"
            mistake = f"{names} share {', '.join(shared)}, but neither has all parts of the other"
            self.check(allowed, self.entries[j], f"{mistake} and more")
