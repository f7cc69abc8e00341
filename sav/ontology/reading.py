"""Reading and checking an ontology file.

The format is described in ``sav/ontology/README.md``. Every error names the file and the line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sav.errors import SAVError
from sav.ontology.ontology import Concept, Ontology, PartClass, Union
from sav.ontology.relations import PREDICATES, Relation, close_under_symmetry, find_contradiction
from sav.ontology.source import LineMap, Source
from sav.ontology.unions import VIEW_KEYS, read_unions

SIDES = ("left", "right", "none")
_FOLDER = Path(__file__).parent
_CONCEPT_KEYS = frozenset({"name", "description", "position"})
_CLASS_KEYS = _CONCEPT_KEYS | VIEW_KEYS | {"id", "color", "side", "mirror", "max_instances"}
_FILE_KEYS = frozenset({"name", "description", "view_of", "classes", "concepts", "relations"})


def available_ontologies() -> list[str]:
    """Names of the shipped ontologies."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_ontology(name_or_path: str | Path) -> Ontology:
    """Read and check an ontology.

    Args:
        name_or_path: a shipped ontology's name, or the path of a YAML file.

    Raises:
        SAVError: no such file, or the first thing that is wrong with it, with its line.
    """
    path = _find(name_or_path)
    if path is None:
        shipped = ", ".join(available_ontologies())
        raise SAVError(f"{name_or_path}: no such ontology; give a YAML file or one of {shipped}")
    return _Reader(path).read()


def _find(name_or_path: str | Path, folder: Path = Path()) -> Path | None:
    """The file of a shipped name, or of a path that may be relative to a folder."""
    shipped, own = _FOLDER / f"{name_or_path}.yaml", folder / name_or_path
    return next((path for path in (shipped, own) if path.is_file()), None)


class _Reader:
    """Turns one file into an :class:`Ontology`, or into an error with a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = Source(path)
        self._check, self._check_keys = self.source.check, self.source.check_keys

    def read(self) -> Ontology:
        root = self._checked_root()
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
        view_of, unions = self._view(root, classes)
        return Ontology(str(root["name"]), classes, concepts, relations, view_of, unions)

    def _checked_root(self) -> LineMap:
        root = self.source.root
        known = isinstance(root, LineMap)
        self._check(known, root, "an ontology is a mapping with 'name' and 'classes'")
        self._check(root.get("classes"), root, "'classes' must be a list of at least one class")
        for key in ("classes", "concepts", "relations"):
            self._check(isinstance(root.get(key, []), list), root, f"'{key}' must be a list")
        return root

    def _view(self, root: LineMap, classes: tuple[PartClass, ...]) -> tuple[str, tuple[Union, ...]]:
        """Name of the graph that it is a view of, and what its classes are there."""
        wanted = root.get("view_of")
        if wanted is None:
            for entry in root["classes"]:
                keys = ", ".join(f"'{key}'" for key in sorted(VIEW_KEYS & entry.keys()))
                self._check(not keys, entry, f"{keys}: only where the file says 'view_of'")
            return "", ()
        path = _find(str(wanted), self.path.parent)
        self._check(path, root, f"view_of: no such ontology '{wanted}'")
        reader = _Reader(path)
        # Looked at before it is read, so that two files cannot send the reader in circles.
        is_view = isinstance(reader.source.root, LineMap) and "view_of" in reader.source.root
        self._check(not is_view, root, f"view_of: '{wanted}' is itself a view; name its graph")
        graph = reader.read()
        return graph.name, read_unions(self.source, classes, graph.classes, graph.name)

    def _concept(self, entry: Any) -> Concept:
        self._check_keys(entry, _CONCEPT_KEYS, {"name", "description"})
        return Concept(str(entry["name"]), str(entry["description"]), self._position(entry))

    def _part_class(self, entry: Any, index: int) -> PartClass:
        self._check_keys(entry, _CLASS_KEYS, {"id", "name", "description", "color"})
        number, color = entry["id"], entry["color"]
        self._check(number == index, entry, f"id is {number}, but ids count from 0: {index}")
        whole = _is_numbers(color, 0, 255) and all(isinstance(v, int) for v in color)
        self._check(whole, entry, "color must be three integers from 0 to 255")
        side = entry.get("side", "none")
        self._check(side in SIDES, entry, f"side is '{side}'; it must be one of {', '.join(SIDES)}")
        count = entry.get("max_instances", 1)
        positive = isinstance(count, int) and count > 0
        self._check(positive, entry, "max_instances must be a positive integer")
        return PartClass(
            name=str(entry["name"]),
            description=str(entry["description"]),
            position=self._position(entry),
            id=index,
            color=tuple(color),
            side=side,
            mirror=None if entry.get("mirror") is None else str(entry["mirror"]),
            max_instances=count,
        )

    def _position(self, entry: LineMap) -> tuple[float, float, float]:
        position = entry.get("position", [0.0, 0.0, 0.0])
        valid = _is_numbers(position, -1, 1)
        self._check(valid, entry, "position must be three numbers from -1 to 1")
        return tuple(float(value) for value in position)

    def _check_classes(self, classes: tuple[PartClass, ...], entries: list[LineMap]) -> None:
        by_name = {part.name: part for part in classes}
        for part, entry in zip(classes, entries, strict=True):
            name = part.name
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
        self, root: LineMap, names: set[str], mirror_of: dict[str, str]
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
