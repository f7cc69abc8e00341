"""Folders of data sets: which files are in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sav.errors import SAVError

_LOOKED_AT = 20


def files_below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files of some kinds in a folder and in those below, sorted.

    Links to folders are followed, each folder once. What is hidden, and what is no plain file, such
    as a pipe, is left out. A link to nothing is not: whoever reads it says so.

    Args:
        folder: where to look.
        suffixes: lower-case ends of names, such as ".json".

    Raises:
        SAVError: a folder cannot be read.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for place, below, names in os.walk(folder, followlinks=True, onerror=_refuse):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below[:] = sorted(name for name in below if not name.startswith("."))
        paths = (Path(place, name) for name in names if not name.startswith("."))
        found += [path for path in paths if path.suffix.lower() in suffixes and _is_read(path)]
    return sorted(found)


def files_of(data: Path, suffixes: Collection[str]) -> list[Path]:
    """A file itself, or those of a folder, see :func:`files_below`."""
    return files_below(data, suffixes) if data.is_dir() else [data]


def is_folder(path: Path) -> bool:
    """Whether a path, as somebody wrote it, is that of a folder; False where it can be none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # longer than the system allows; with a null character
        return False


def any_is(files: Sequence[Path], read: Callable[[Path], Any]) -> bool:
    """Whether one of the first files is of a format.

    Args:
        files: to look at.
        read: returns something true for a file of the format; for another one it need not, or it
            raises SAVError.
    """
    return any(_can(read, file) for file in files[:_LOOKED_AT])


def _can(read: Callable[[Path], Any], file: Path) -> bool:
    try:
        return bool(read(file))
    except SAVError:
        return False


def _is_read(path: Path) -> bool:
    return path.is_file() or (path.is_symlink() and not path.exists())


def _refuse(error: OSError) -> NoReturn:
    raise SAVError(f"{error.filename}: cannot be read: {error.strerror}") from error


def portable(root: Path, out: Path) -> str:
    """How a file in ``out`` names the folder of its photos.

    Relative inside one data set folder, so that it can be moved; absolute across trees.
    """
    root, out = root.resolve(), out.resolve()
    if root.is_relative_to(out.parent):
        root = Path(os.path.relpath(root, out))
    return root.as_posix()
