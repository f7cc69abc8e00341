"""Files that appear whole or not at all, and in the place of no other."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sav.errors import SAVError

_LONGEST_NAME = 255
"""Bytes of a file's name."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary file name to write to, and rename it when the block ends well.

    The temporary file lies in the same folder and keeps the suffix, by which image and video
    writers choose their format; its name begins with a dot. It is removed when the block raises.

    Args:
        path: the file to write; its folder is made.

    Raises:
        SAVError: the file or its folder cannot be written.
    """
    target = Path(path)
    end = f"-{os.getpid()}{target.suffix}"
    room = _LONGEST_NAME - len(os.fsencode(f".{end}"))
    stem = os.fsencode(target.stem)[:room].decode(errors="ignore")
    temporary = target.with_name(f".{stem}{end}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise SAVError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        # Where the folder cannot be made, there is nothing to remove either.
        with suppress(OSError):
            temporary.unlink()


def write_atomic(path: str | Path, content: str | bytes) -> None:
    """Write a whole file, text as UTF-8.

    Raises:
        SAVError: see :func:`atomic_path`; or the text has halves of characters, as file names may.
    """
    with atomic_path(path) as temporary:
        try:
            encoded = content.encode() if isinstance(content, str) else content
        except UnicodeEncodeError as error:
            raise SAVError(f"{path}: cannot be written: a name in it is no text") from error
        temporary.write_bytes(encoded)


@contextmanager
def files_together(folder: Path) -> Iterator[Path]:
    """Give a folder to write files into; all of them move to another when the block ends well.

    For files that belong together. Where the block raises, the other folder stays as it was.

    Args:
        folder: where the files go, in the place of those of the same names; it is made.

    Raises:
        SAVError: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder) as temporary:
            yield Path(temporary)
            for file in sorted(Path(temporary).iterdir()):
                file.replace(folder / file.name)
    except OSError as error:
        raise SAVError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # which says that something is in it
            folder.rmdir()


def check_new(files: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse to write files before hours are spent on what is in them.

    Args:
        files: to be written.
        overwrite: whether they may take the place of others.

    Raises:
        SAVError: one of them exists, or its folder cannot be written to.
    """
    folders = set()
    for file in files:
        if file.is_dir():
            raise SAVError(f"{file}: is a folder; choose another output")
        if not overwrite and os.path.lexists(file):
            raise SAVError(
                f"{file}: exists already; choose another output, or give --overwrite to replace it"
            )
        folders.add(file.parent)
    for folder in folders:
        check_folder(folder)


def check_folder(folder: Path) -> None:
    """Refuse a folder in which no file can be made; it need not be there yet.

    Raises:
        SAVError: it, or the one that it would be made in, is a file or read-only.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise SAVError(f"{folder}: cannot be written to: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SAVError(f"{folder}: cannot be written to: {there} is read-only for you")


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Fill a folder that is new or empty; what is in it goes again when the block raises.

    Raises:
        SAVError: it is a file, holds something, or cannot be written to.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise SAVError(f"{folder}: exists and is not empty; choose another folder")
    check_folder(folder)
    made = not folder.exists()
    try:
        yield
    except BaseException:
        for path in folder.iterdir() if folder.is_dir() else ():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def native_name(path: Path) -> Iterator[str]:
    """A name of a file, to be read or made, for libraries that are not Python.

    They take UTF-8 only, and some read "a:b" as an address, not as a file.
    """
    name = str(path.absolute())
    if name.isprintable():
        yield name
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, f"link{path.suffix if path.suffix.isascii() else ''}")
        link.symlink_to(name)
        yield str(link)


def file_digest(path: Path) -> str:
    """Sixteen hexadecimal digits that change when the file's contents do."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
