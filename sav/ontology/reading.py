"""Reading and checking an ontology file.

The format is described in ``sav/ontology/README.md``. Every error names the file and the line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sav.errors import SAVError
from sav.ontology.ontology import Concept, Ontology, PartClass
from sav.ontology.relations import (
    PREDICATES,
    Relation,
    close_under_symmetry,
    find_contradiction,
)
from sav.ontology.union import join

SIDES = ("left", "right", "none")
_OPPOSITE = {"left": "right", "right": "left"}
_FOLDER = Path(__file__).parent
_CLASS_KEYS = frozenset(
    {"id", "name", "node", "description", "color", "side", "mirror", "max_instances", "position"}
)
_CONCEPT_KEYS = frozenset({"name", "description", "position"})
_FILE_KEYS = frozenset({"name", "description", "classes", "concepts", "relations"})


def available_ontologies() -> list[str]:
    """Names of the shipped ontologies."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_ontology(name_or_path: str | Path) -> Ontology:
    """Read and check an ontology, or join several.

    Args:
        name_or_path: a shipped ontology's name, the path of a YAML file, or several of them with a
            plus sign between, such as ``vehicleseg10k+dsmlr``.

    Raises:
        SAVError: no such file, or the first thing that is wrong with it, with its line.
    """
    path = _FOLDER / f"{name_or_path}.yaml"
    if not path.is_file():
        path = Path(name_or_path)
    if not path.is_file() and "+" in str(name_or_path):
        return join([load_ontology(name) for name in str(name_or_path).split("+")])
    if not path.is_file():
        shipped = ", ".join(available_ontologies())
        raise SAVError(f"{name_or_path}: no such ontology; give a YAML file or one of {shipped}")
    return _Reader(path).read()


class _LineMap(dict[str, Any]):
    """A YAML mapping that remembers its line (1-based)."""

    line = 0


class _LineList(list[Any]):
    """A YAML sequence that remembers its line (1-based)."""

    line = 0


class _LineLoader(yaml.SafeLoader):
    """SafeLoader whose mappings and sequences know where they stand."""

    def construct_line_map(self, node: yaml.MappingNode) -> _LineMap:
        mapping = _LineMap(self.construct_mapping(node, deep=True))
        mapping.line = node.start_mark.line + 1
        return mapping

    def construct_line_list(self, node: yaml.SequenceNode) -> _LineList:
        sequence = _LineList(self.construct_sequence(node, deep=True))
        sequence.line = node.start_mark.line + 1
        return sequence


_LineLoader.add_constructor("tag:yaml.org,2002:map", _LineLoader.construct_line_map)
_LineLoader.add_constructor("tag:yaml.org,2002:seq", _LineLoader.construct_line_list)


class _Reader:
    """Turns one file into an :class:`Ontology`, or into an error with a line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Ontology:
        root = self._parse()
        self._check_keys(root, _FILE_KEYS, required={"name", "classes"})
        classes = tuple(self._part_class(entry, i) for i, entry in enumerate(root["classes"]))
        concepts = tuple(self._concept(entry) for entry in root.get("concepts", ()))
        self._check_names(root, [*classes, *concepts])
        self._check_nodes(root, classes)
        self._check_mirrors(root, classes)
        relations = self._relations(root, classes, concepts)
        return Ontology(str(root["name"]), classes, concepts, relations)

    def _fail(self, line: int, what: str) -> SAVError:
        return SAVError(f"{self.path}:{line}: {what}")

    def _parse(self) -> _LineMap:
        try:
            with self.path.open(encoding="utf-8") as file:
                # The loader derives from SafeLoader: it builds plain data only.
                root = yaml.load(file, Loader=_LineLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise self._fail(line, f"not valid YAML: {error.problem}") from error
        if not isinstance(root, _LineMap):
            raise self._fail(1, "an ontology is a mapping with 'name' and 'classes'")
        if not isinstance(root.get("classes"), list) or not root["classes"]:
            raise self._fail(root.line, "'classes' must be a list of at least one class")
        return root

    def _check_keys(
        self, entry: Any, known: frozenset[str], required: set[str], line: int = 1
    ) -> None:
        if not isinstance(entry, _LineMap):
            raise self._fail(line, f"expected a mapping with {', '.join(sorted(required))}")
        for key in entry:
            if key not in known:
                options = ", ".join(sorted(known))
                raise self._fail(entry.line, f"unknown key '{key}'; known keys: {options}")
        missing = sorted(required - entry.keys())
        if missing:
            raise self._fail(entry.line, f"missing key '{missing[0]}'")

    def _concept(self, entry: Any) -> Concept:
        self._check_keys(entry, _CONCEPT_KEYS, {"name", "description"})
        return Concept(str(entry["name"]), str(entry["description"]), self._position(entry))

    def _part_class(self, entry: Any, index: int) -> PartClass:
        self._check_keys(entry, _CLASS_KEYS, {"id", "name", "description", "color"})
        if entry["id"] != index:
            raise self._fail(entry.line, f"id is {entry['id']}, but ids count from 0: {index}")
        color = entry["color"]
        if not _is_numbers(color, 3, 0, 255) or any(isinstance(v, float) for v in color):
            raise self._fail(entry.line, "color must be three integers from 0 to 255")
        side = entry.get("side", "none")
        if side not in SIDES:
            raise self._fail(entry.line, f"side is '{side}'; it must be one of {', '.join(SIDES)}")
        count = entry.get("max_instances", 1)
        if not isinstance(count, int) or count < 1:
            raise self._fail(entry.line, "max_instances must be a positive integer")
        return PartClass(
            name=str(entry["name"]),
            description=str(entry["description"]),
            position=self._position(entry),
            id=index,
            color=tuple(color),
            side=side,
            mirror=entry.get("mirror"),
            max_instances=count,
            node=str(entry.get("node") or str(entry["name"]).lower().replace(" ", "_")),
        )

    def _position(self, entry: _LineMap) -> tuple[float, float, float]:
        position = entry.get("position", [0.0, 0.0, 0.0])
        if not _is_numbers(position, 3, -1, 1):
            raise self._fail(entry.line, "position must be three numbers from -1 to 1")
        x, y, z = (float(value) for value in position)
        return x, y, z

    def _check_names(self, root: _LineMap, nodes: list[Concept]) -> None:
        seen: set[str] = set()
        entries = [*root["classes"], *root.get("concepts", ())]
        for node, entry in zip(nodes, entries, strict=True):
            if node.name in seen:
                raise self._fail(entry.line, f"the name '{node.name}' is used twice")
            seen.add(node.name)

    def _check_nodes(self, root: _LineMap, classes: tuple[PartClass, ...]) -> None:
        first: dict[str, str] = {}
        for part, entry in zip(classes, root["classes"], strict=True):
            other = first.setdefault(part.node, part.name)
            if other != part.name:
                raise self._fail(
                    entry.line, f"'{part.name}' has the node '{part.node}', as '{other}' has"
                )

    def _check_mirrors(self, root: _LineMap, classes: tuple[PartClass, ...]) -> None:
        by_name = {part.name: part for part in classes}
        for part, entry in zip(classes, root["classes"], strict=True):
            if part.mirror is None:
                if part.side != "none":
                    raise self._fail(entry.line, f"'{part.name}' has a side but no mirror")
                continue
            other = by_name.get(part.mirror)
            if other is None:
                raise self._fail(entry.line, f"mirror '{part.mirror}' is not a class")
            if other.mirror != part.name or other is part:
                raise self._fail(
                    entry.line, f"'{part.name}' mirrors '{other.name}', but not the reverse"
                )
            if _OPPOSITE.get(part.side) != other.side:
                raise self._fail(
                    entry.line, f"'{part.name}' and its mirror must lie on opposite sides"
                )
            x, y, z = part.position
            if other.position != (x, -y, z) or other.max_instances != part.max_instances:
                raise self._fail(
                    entry.line,
                    f"'{part.name}' and '{other.name}' must have mirrored positions and the same "
                    "max_instances",
                )

    def _relations(
        self, root: _LineMap, classes: tuple[PartClass, ...], concepts: tuple[Concept, ...]
    ) -> tuple[Relation, ...]:
        names = {node.name for node in (*classes, *concepts)}
        mirror_of = {part.name: part.mirror for part in classes if part.mirror}
        line_of: dict[Relation, int] = {}
        for entry in root.get("relations", ()):
            relation = self._relation(entry, names, root.line)
            line_of.setdefault(relation, entry.line)
        stated = [*line_of, *(Relation(a, "mirror_of", b) for a, b in mirror_of.items())]
        facts = close_under_symmetry(stated, mirror_of)
        wrong = find_contradiction(facts)
        if wrong is not None:
            source = facts[wrong]
            raise self._fail(
                line_of.get(source, root.line),
                f"'{source}' contradicts the inverse or the mirror image of another relation",
            )
        return tuple(sorted(facts))

    def _relation(self, entry: Any, names: set[str], line: int) -> Relation:
        if not isinstance(entry, _LineList) or len(entry) != 3:
            line = getattr(entry, "line", line)
            raise self._fail(line, "a relation is a list [subject, predicate, object]")
        subject, predicate, target = (str(item) for item in entry)
        for name in (subject, target):
            if name not in names:
                raise self._fail(entry.line, f"'{name}' is neither a class nor a concept")
        if predicate not in PREDICATES:
            options = ", ".join(PREDICATES)
            raise self._fail(entry.line, f"unknown relation '{predicate}'; use one of {options}")
        return Relation(subject, predicate, target)


def _is_numbers(value: Any, count: int, low: float, high: float) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(v, int | float) and low <= v <= high for v in value)
    )
