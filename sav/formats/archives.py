"""Archives of annotations and photos: unpacked where nothing outside of their folder is touched."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import shutil
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tqdm import tqdm

from sav.errors import SAVError
from sav.files import write_atomic

MAX_BYTES = 200 * 2**30
"""Unpacked, of all members."""
MAX_FILES = 2_000_000
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_OTHERS = (".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")
ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".tgz", *_OTHERS})
"""The last ends of the names of archives, whether they are read or not."""
_COMPRESSIONS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
"""By the first bytes of their files."""

_SMALL = 2**30
_DENSEST = 200
"""Times its size that an archive may have unpacked: photos hardly shrink, and what shrinks more
was made to fill disks. Archives of up to :data:`_SMALL` bytes unpacked may."""
_LONGEST_READ = 2**24
"""Bytes that are taken from a tar at a time: headers, which are read whole, may claim any size."""
_STAMP = ".unpacked"
"""Says of which archive a folder is; it is written last."""

_Member = tuple[str, Callable[[], IO[bytes] | None]]


def is_archive(path: Path) -> bool:
    """Whether a file is an archive that can be unpacked, by its name.

    Raises:
        SAVError: it is one that cannot.
    """
    name = path.name.lower()
    if not path.is_file():
        return False
    if name.endswith(_SUFFIXES):
        return True
    if name.endswith(_OTHERS):
        raise SAVError(f"{path}: such archives are not read; unpack it, and name the folder")
    return False


def unpack(archive: Path, folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Unpack a zip or tar archive, unless the folder holds what was unpacked of it before.

    Links and devices are left out, and that is said; hard links in a tar are files.

    Args:
        archive: the file.
        folder: to unpack to; must not exist, or be empty.
        max_bytes: of all its files together.

    Raises:
        SAVError: the archive is broken or too large, a name in it leads out of the folder, or the
            folder is not empty. Nothing is left of it then.
    """
    status = archive.stat()
    stamp = json.dumps([str(archive.resolve()), status.st_size, status.st_mtime_ns])
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if (folder / _STAMP).is_file() and (folder / _STAMP).read_text("utf-8") == stamp:
            return
        raise SAVError(
            f"{folder}: exists and is not empty; {archive.name} is unpacked there: remove it, or "
            "choose another output"
        )
    max_bytes = min(max_bytes, max(_SMALL, _DENSEST * status.st_size))
    left_out: list[str] = []
    try:
        with _open(archive, folder, left_out) as members:
            _write(members, archive.name, folder, max_bytes)
        write_atomic(folder / _STAMP, stamp)
    except Exception as error:  # each compression has errors of its own
        shutil.rmtree(folder, ignore_errors=True)
        raise SAVError(f"{archive}: cannot be unpacked: {error}") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if left_out:
        sys.stdout.write(
            f"{archive}: {len(left_out)} left out, which are no files, such as {left_out[0]!a}\n"
        )


@contextmanager
def _open(archive: Path, folder: Path, left_out: list[str]) -> Iterator[Iterator[_Member]]:
    """The names of an archive's files, and what opens each; `left_out` receives other names."""
    with archive.open("rb") as stream:
        head = stream.read(8)
    opener = next((o for mark, o in _COMPRESSIONS.items() if head.startswith(mark)), None)
    zip_name = archive.name.lower().endswith(".zip")
    if opener is None and (zip_name or head.startswith(b"PK")):
        with zipfile.ZipFile(archive) as zipped:
            infos = [info for info in zipped.infolist() if not info.is_dir()]
            left_out += [info.filename for info in infos if _is_link(info)]
            plain = [info for info in infos if not _is_link(info)]
            yield ((info.filename, partial(zipped.open, info)) for info in plain)
    else:
        with (
            (opener or open)(archive, "rb") as stream,
            tarfile.open(fileobj=_Bounded(stream), mode="r:") as taped,
        ):
            yield _of_tar(taped, folder, left_out)


def _is_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)


def _of_tar(taped: tarfile.TarFile, folder: Path, left_out: list[str]) -> Iterator[_Member]:
    for info in taped:
        if info.isfile():
            yield info.name, partial(taped.extractfile, info)
        elif info.islnk() and (first := _unpacked(info.linkname, folder)):
            # What tar has met under another name before.
            yield info.name, partial(first.open, "rb")
        elif not info.isdir():
            left_out.append(info.name)


def _unpacked(name: str, folder: Path) -> Path | None:
    try:
        file = folder / _safe(name)
    except ValueError:
        return None
    return file if file.is_file() else None


class _Bounded:
    """A stream of which nobody reads more at a time than :data:`_LONGEST_READ`."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_READ:
            raise ValueError("a header in it is larger than allowed")
        return self._stream.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


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
