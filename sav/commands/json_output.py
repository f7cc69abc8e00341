"""``--json``: what a command has found, for programs, to a file or to the standard output."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from sav.errors import SAVError
from sav.files import check_folder, write_atomic

STDOUT = Path("-")
_HEAD = 500  # bytes, in which a file of ours says what it is


def add_json_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--json [FILE]``."""
    parser.add_argument(
        "--json",
        type=_target,
        nargs="?",
        const=STDOUT,
        metavar="FILE",
        help="write the result as JSON to FILE; without FILE to the standard output, and "
        "everything else to the error stream",
    )


def _target(text: str) -> Path:
    path = Path(text)
    if path != STDOUT and not path.suffix:  # more likely the argument that comes next
        raise argparse.ArgumentTypeError(
            f"'{text}' has no ending such as .json; give another name, or put --json last"
        )
    return path


def check_own(path: Path | None, mark: str) -> None:
    """Refuse to overwrite what this command has not written.

    Args:
        path: to be written, a file or :data:`STDOUT`; None for nothing.
        mark: what a file of this command has in its first lines.

    Raises:
        SAVError: there is something else, or its folder cannot be written to.
    """
    if path is None or path == STDOUT:
        return
    check_folder(path.parent)
    if path.exists() and not (path.is_file() and mark in _head(path)):
        raise SAVError(f"{path}: there is something else; choose another name")


def _head(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_HEAD).decode("utf-8", "replace")


def to_json(mark: str, contents: Mapping[str, Any]) -> str:
    """What a program reads.

    Args:
        mark: the value of its key "format", by which :func:`check_own` knows it.
        contents: the other keys.
    """
    return json.dumps({"format": mark, **contents}, indent=1) + "\n"


@contextmanager
def json_output(path: Path | None) -> Iterator[Callable[[str], None]]:
    """Give a function that writes what ``--json`` asks for.

    Where that goes to the standard output, all other output in the context goes to the error
    stream, that of child processes and of libraries that are not Python, too.

    Args:
        path: a file, :data:`STDOUT`, or None for nothing.
    """
    if path is None:
        yield lambda _: None
    elif path != STDOUT:
        yield partial(write_atomic, path)
    else:
        texts: list[str] = []
        try:
            with _stdout_is_stderr():
                yield texts.append
        finally:
            sys.stdout.write("".join(texts))


@contextmanager
def _stdout_is_stderr() -> Iterator[None]:
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 1)
        os.close(kept)
