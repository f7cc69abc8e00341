"""Reading and checking an ontology file.

The format is described in ``sav/ontology/README.md``. Every error names the file and the line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sav.errors import SAVError
from sav.ontology.ontology import Concept, Ontology, PartClass, join
from sav.ontology.relations import PREDICATES, Relation, close_under_symmetry, find_contradiction

SIDES = ("left", "right", "none")
_FOLDER = Path(__file__).parent
_CONCEPT_KEYS = frozenset({"name", "description", "position"})
_CLASS_KEYS = _CONCEPT_KEYS | {"id", "node", "color", "side", "mirror", "max_instances"}
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

    def construct_with_line(self, node: yaml.CollectionNode) -> _LineMap | _LineList:
        if isinstance(node, yaml.MappingNode):
            value = _LineMap(self.construct_mapping(node, deep=True))
        else:
            value = _LineList(self.construct_sequence(node, deep=True))
        value.line = node.start_mark.line + 1
        return value


_LineLoader.add_constructor("tag:yaml.org,2002:map", _LineLoader.construct_with_line)
_LineLoader.add_constructor("tag:yaml.org,2002:seq", _LineLoader.construct_with_line)


class _Reader:
    """Turns one file into an :class:`Ontology`, or into an error with a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 1  # of what has no line of its own

    def read(self) -> Ontology:
        root = self._parse()
        self._check_keys(root, _FILE_KEYS, {"name", "classes"})
        classes = tuple(self._part_class(entry, i) for i, entry in enumerate(root["classes"]))
        concepts = tuple(self._concept(entry) for entry in root.get("concepts", ()))
        names: set[str] = set()
        entries = [*root["classes"], *root.get("concepts", ())]
        for node, entry in zip((*classes, *concepts), entries, strict=True):
            self._check(node.name not in names, entry, f"the name '{node.name}' is used twice")
            names.add(node.name)
        self._check_classes(classes, root["classes"])
        relations = self._relations(root, names, {p.name: p.mirror for p in classes if p.mirror})
        return Ontology(str(root["name"]), classes, concepts, relations)

    def _parse(self) -> _LineMap:
        try:
            # The loader derives from SafeLoader: it builds plain data only.
            root = yaml.load(self.path.read_bytes(), Loader=_LineLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", "characters that YAML does not allow")
            line = mark.line + 1 if mark else 1
            raise SAVError(f"{self.path}:{line}: not valid YAML: {problem}") from error
        known = isinstance(root, _LineMap)
        self._check(known, root, "an ontology is a mapping with 'name' and 'classes'")
        self.line = root.line
        self._check(root.get("classes"), root, "'classes' must be a list of at least one class")
        for key in ("classes", "concepts", "relations"):
            self._check(isinstance(root.get(key, []), list), root, f"'{key}' must be a list")
        return root

    def _check(self, holds: object, entry: Any, mistake: str) -> None:
        """Raise an error with the line of an entry, unless something holds."""
        if not holds:
            raise SAVError(f"{self.path}:{getattr(entry, 'line', self.line)}: {mistake}")

    def _check_keys(self, entry: Any, known: frozenset[str], required: set[str]) -> None:
        wanted = f"expected a mapping with {', '.join(sorted(required))}"
        self._check(isinstance(entry, _LineMap), entry, wanted)
        for key in entry:
            options = ", ".join(sorted(known))
            self._check(key in known, entry, f"unknown key '{key}'; known keys: {options}")
        for key in sorted(required):
            self._check(key in entry, entry, f"missing key '{key}'")

    def _concept(self, entry: Any) -> Concept:
        self._check_keys(entry, _CONCEPT_KEYS, {"name", "description"})
        return Concept(str(entry["name"]), str(entry["description"]), self._position(entry))

    def _part_class(self, entry: Any, index: int) -> PartClass:
        self._check_keys(entry, _CLASS_KEYS, {"id", "name", "description", "color"})
        number, name, color = entry["id"], str(entry["name"]), entry["color"]
        self._check(number == index, entry, f"id is {number}, but ids count from 0: {index}")
        whole = _is_numbers(color, 0, 255) and all(isinstance(v, int) for v in color)
        self._check(whole, entry, "color must be three integers from 0 to 255")
        side = entry.get("side", "none")
        self._check(side in SIDES, entry, f"side is '{side}'; it must be one of {', '.join(SIDES)}")
        count = entry.get("max_instances", 1)
        positive = isinstance(count, int) and count > 0
        self._check(positive, entry, "max_instances must be a positive integer")
        return PartClass(
            name=name,
            description=str(entry["description"]),
            position=self._position(entry),
            id=index,
            color=tuple(color),
            side=side,
            mirror=None if entry.get("mirror") is None else str(entry["mirror"]),
            max_instances=count,
            node=str(entry.get("node") or name.lower().replace(" ", "_")),
        )

    def _position(self, entry: _LineMap) -> tuple[float, float, float]:
        position = entry.get("position", [0.0, 0.0, 0.0])
        valid = _is_numbers(position, -1, 1)
        self._check(valid, entry, "position must be three numbers from -1 to 1")
        return tuple(float(value) for value in position)

    def _check_classes(self, classes: tuple[PartClass, ...], entries: list[_LineMap]) -> None:
        by_name = {part.name: part for part in classes}
        first: dict[str, str] = {}
        for part, entry in zip(classes, entries, strict=True):
            name, other = part.name, first.setdefault(part.node, part.name)
            same = f"'{name}' has the node '{part.node}', as '{other}' has"
            self._check(other == name, entry, same)
            if part.mirror is None:
                self._check(part.side == "none", entry, f"'{name}' has a side but no mirror")
                continue
            self._check(part.mirror in by_name, entry, f"mirror '{part.mirror}' is not a class")
            mirror = by_name[part.mirror]
            mutual = mirror.mirror == name and mirror is not part
            self._check(mutual, entry, f"'{name}' mirrors '{mirror.name}', but not the reverse")
            opposite = {part.side, mirror.side} == {"left", "right"}
            self._check(opposite, entry, f"'{name}' and its mirror must lie on opposite sides")
            x, y, z = part.position
            equal = (mirror.position, mirror.max_instances) == ((x, -y, z), part.max_instances)
            pair = f"'{name}' and '{mirror.name}' must have mirrored positions"
            self._check(equal, entry, f"{pair} and the same max_instances")

    def _relations(
        self, root: _LineMap, names: set[str], mirror_of: dict[str, str]
    ) -> tuple[Relation, ...]:
        source: dict[Relation, Any] = {}
        for entry in root.get("relations", ()):
            whole = isinstance(entry, list) and len(entry) == 3
            self._check(whole, entry, "a relation is a list [subject, predicate, object]")
            subject, predicate, target = (str(item) for item in entry)
            for name in (subject, target):
                self._check(name in names, entry, f"'{name}' is neither a class nor a concept")
            options = f"unknown relation '{predicate}'; use one of {', '.join(PREDICATES)}"
            self._check(predicate in PREDICATES, entry, options)
            source.setdefault(Relation(subject, predicate, target), entry)
        stated = [*source, *(Relation(a, "mirror_of", b) for a, b in mirror_of.items())]
        facts = close_under_symmetry(stated, mirror_of)
        wrong = find_contradiction(facts)
        cause = facts.get(wrong)
        mistake = f"'{cause}' contradicts the inverse or the mirror image of another relation"
        self._check(wrong is None, source.get(cause), mistake)
        return tuple(sorted(facts))


def _is_numbers(value: Any, low: float, high: float) -> bool:
    """Whether it is a list of three numbers in a range."""
    numbers = isinstance(value, list) and all(isinstance(v, int | float) for v in value)
    return numbers and len(value) == 3 and all(low <= v <= high for v in value)
