"""YAML files that know on which line their entries stand."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from sav.errors import SAVError


class LineMap(dict[str, Any]):
    """A YAML mapping that remembers its line (1-based)."""

    line = 0


class LineList(list[Any]):
    """A YAML sequence that remembers its line (1-based)."""

    line = 0


class _LineLoader(yaml.SafeLoader):
    """SafeLoader whose mappings and sequences know where they stand."""

    def construct_with_line(self, node: yaml.CollectionNode) -> LineMap | LineList:
        if isinstance(node, yaml.MappingNode):
            value = LineMap(self.construct_mapping(node, deep=True))
        else:
            value = LineList(self.construct_sequence(node, deep=True))
        value.line = node.start_mark.line + 1
        return value


_LineLoader.add_constructor("tag:yaml.org,2002:map", _LineLoader.construct_with_line)
_LineLoader.add_constructor("tag:yaml.org,2002:seq", _LineLoader.construct_with_line)


class Source:
    """A parsed file, and errors that name it and a line.

    Attributes:
        path: of the file.
        root: what it holds; not to be changed, because it is parsed once for all readers.
    """

    def __init__(self, path: Path) -> None:
        """Parse a file, unless it was parsed before and has not changed since.

        Raises:
            SAVError: it is not valid YAML.
        """
        self.path = path
        self.root = _parse(path, path.stat().st_mtime_ns)

    def check(self, holds: object, entry: Any, mistake: str) -> None:
        """Raise an error with the line of an entry, unless something holds.

        Raises:
            SAVError: it does not hold.
        """
        if not holds:
            line = getattr(entry, "line", getattr(self.root, "line", 1))
            raise SAVError(f"{self.path}:{line}: {mistake}")

    def check_keys(self, entry: Any, known: frozenset[str], required: set[str]) -> None:
        """Raise an error unless an entry is a mapping with the right keys.

        Raises:
            SAVError: it is no mapping, or has too many or too few keys.
        """
        wanted = f"expected a mapping with {', '.join(sorted(required))}"
        self.check(isinstance(entry, LineMap), entry, wanted)
        for key in entry:
            options = ", ".join(sorted(known))
            self.check(key in known, entry, f"unknown key '{key}'; known keys: {options}")
        for key in sorted(required):
            self.check(key in entry, entry, f"missing key '{key}'")


@lru_cache(maxsize=32)
def _parse(path: Path, changed: int) -> Any:
    try:
        # The loader derives from SafeLoader: it builds plain data only.
        return yaml.load(path.read_bytes(), Loader=_LineLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", "characters that YAML does not allow")
        line = mark.line + 1 if mark else 1
        raise SAVError(f"{path}:{line}: not valid YAML: {problem}") from error
