"""YAML files of strangers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sav.errors import SAVError

_LARGEST = 2**20
"""Characters; YAML is read slowly, and lists of names are short."""
_DEEPEST = 50


def parse_yaml(text: str, file: Path) -> Any:
    """Plain data of the text of a file.

    Raises:
        SAVError: it is broken, or too large or too deep for a list of names, or it has merge
            keys, by which a few lines can become gigabytes, or a key twice.
    """
    if len(text) > _LARGEST:
        raise SAVError(f"{file}: it has more than {_LARGEST >> 20} MiB of YAML")
    try:
        return yaml.load(text, Loader=_PlainLoader)  # derives from SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SAVError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error


class _PlainLoader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise yaml.YAMLError("it is nested too deeply")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def flatten_mapping(self, node: Any) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.YAMLError("it has a merge key ('<<'), which is not read")

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """As its parent does, but that no key replaces another one."""
        found = super().construct_mapping(node, deep=deep)
        if len(found) < len(node.value):
            raise yaml.YAMLError(f"a key is there twice{node.start_mark}")
        return found
