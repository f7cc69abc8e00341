"""Archives of annotations and photos: unpacked where nothing outside of their folder is touched."""

from __future__ import annotations

import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from sav.errors import SAVError

MAX_BYTES = 200 * 2**30
"""Unpacked, of all members."""
MAX_FILES = 2_000_000
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_SMALL = 2**30
_DENSEST = 200
"""Times its size that an archive may have unpacked: photos hardly shrink, and what shrinks more
was made to fill disks. Archives of up to :data:`_SMALL` bytes unpacked may."""

_Member = tuple[str, Callable[[], IO[bytes] | None]]


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by its name."""
    return path.is_file() and path.name.lower().endswith(_SUFFIXES)


def unpack(archive: Path, folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Unpack a zip or tar archive.

    Args:
        archive: the file.
        folder: to unpack to; must not exist, or be empty.
        max_bytes: of all its files together.

    Raises:
        SAVError: the archive is broken or too large, a name in it leads out of the folder, or the
            folder is not empty. Nothing is left of it then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SAVError(f"{folder}: exists and is not empty; {archive.name} is unpacked there")
    max_bytes = min(max_bytes, max(_SMALL, _DENSEST * archive.stat().st_size))
    try:
        with _open(archive) as members:
            _write(members, archive.name, folder, max_bytes)
    except Exception as error:  # each compression has errors of its own
        shutil.rmtree(folder, ignore_errors=True)
        raise SAVError(f"{archive}: cannot be unpacked: {error}") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def _open(archive: Path) -> Iterator[Iterator[_Member]]:
    """The names of an archive's files, and what opens each."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            plain = [info for info in zipped.infolist() if _is_plain(info)]
            yield ((info.filename, partial(zipped.open, info)) for info in plain)
    else:
        with tarfile.open(archive) as taped:
            plain = (info for info in taped if info.isfile())
            yield ((info.name, partial(taped.extractfile, info)) for info in plain)


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """No folder, and no link that the file system would follow."""
    return not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16)


def _write(members: Iterator[_Member], title: str, folder: Path, max_bytes: int) -> None:
    left = max_bytes
    for number, (name, opener) in enumerate(tqdm(members, desc=f"unpack {title}", disable=None)):
        if number >= MAX_FILES:
            raise ValueError(f"it has more than {MAX_FILES} files")
        target = folder / _safe(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        source = opener()
        if source is None:
            raise ValueError(f"{name!r} is no plain file")
        with source, target.open("xb") as sink:
            left -= _copy(source, sink, left)


def _copy(source: IO[bytes], sink: IO[bytes], left: int) -> int:
    """Bytes copied; what a member says of its size is not relied on."""
    written = 0
    while block := source.read(2**20):
        written += len(block)
        if written > left:
            raise ValueError("it is larger than allowed when unpacked")
        sink.write(block)
    return written


def _safe(name: str) -> PurePosixPath:
    """A member's name as a path that stays inside.

    Raises:
        ValueError: it is absolute or goes up.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    drive = re.match("[A-Za-z]:", name)
    if path.is_absolute() or ".." in path.parts or not path.parts or drive or "\0" in name:
        raise ValueError(f"the name {name!r} leads out of its folder")
    return path
