"""JSON files of strangers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sav.errors import SAVError


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        SAVError: the file is missing or broken.
    """
    try:
        return read_record(path)
    except SAVError as error:
        raise SAVError(f"{path}: {error}") from error


def read_record(path: Path) -> Any:
    """Read the JSON file of one photo, whose name whoever reads it adds to the error.

    Raises:
        SAVError: the file is missing or broken; the message leaves out its path.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise SAVError("no plain file")  # a pipe would be waited for
        return json.loads(path.read_bytes(), object_pairs_hook=unique_keys)
    except FileNotFoundError as error:
        raise SAVError("there is no such annotation file") from error
    except OSError as error:
        raise SAVError(f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SAVError(f"not valid JSON: {error}") from error


def unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object, for ``json.loads``, which itself takes the last of what is there twice.

    Raises:
        ValueError: a key is there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice in one object")
    return found
