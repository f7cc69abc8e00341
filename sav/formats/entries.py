"""The photos of a data set made ready: each is there, listed once, and named from one folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.annotation_format import AnnotationFormat, Entry
from sav.formats.records import reason_of

_SPLIT = re.compile(r"\w[\w.-]{0,99}")


def ready(form: AnnotationFormat, entries: Sequence[Entry], folder: Path) -> list[Entry]:
    """The entries, each of which has a photo of its own, or says why not.

    Args:
        form: of the entries.
        entries: of which some may have no photo.
        folder: where pictures are written that annotation files hold themselves; made when there
            is one.

    Raises:
        SAVError: a split has no name that a file can have.
    """
    for entry in entries:
        if not _SPLIT.fullmatch(entry.split):
            raise SAVError(f"{entry.source}: the split {entry.split!r} has no name for a file")
    entries = [_with_photo(form, entry, folder) for entry in entries]
    # What has no photo makes no split of its own.
    splits = dict.fromkeys(entry.split for entry in entries if entry.image is not None)
    first = next(iter(splits), "train")
    return _each_photo_once([e if e.split in splits else replace(e, split=first) for e in entries])


def _with_photo(form: AnnotationFormat, entry: Entry, folder: Path) -> Entry:
    if form.photo is None or entry.image is not None or entry.lost:
        return entry
    target = folder / entry.name
    if ".." in PurePosixPath(entry.name).parts or not target.is_relative_to(folder):
        return entry.without_photo("its name leads out of the folder of photos")
    try:
        picture = form.photo(entry)
        if picture is None:
            return entry
        if not target.exists():
            write_atomic(target, picture)
        elif target.read_bytes() != picture:
            return entry.without_photo(f"{target} is another photo; remove it, or rename one")
    except Exception as error:
        return entry.without_photo(reason_of(error))
    return replace(entry, image=target, root=folder)


def _each_photo_once(entries: Sequence[Entry]) -> list[Entry]:
    """Leave out photos that several records name: each would lack the other's annotations."""
    sources: dict[Path | None, list[str]] = {}
    # Of a link that leads to itself, Path.resolve makes an error.
    files = [entry.image and Path(os.path.realpath(entry.image)) for entry in entries]
    for file, entry in zip(files, entries, strict=True):
        sources.setdefault(file, []).append(entry.source)
    checked = []
    for file, entry in zip(files, entries, strict=True):
        named = sources[file]
        if file is None or len(named) == 1:
            checked.append(entry)
        else:
            where = " and ".join(sorted(set(named)))
            checked.append(entry.without_photo(f"{len(named)} records name it, in {where}"))
    return checked


def common_root(entries: Sequence[Entry]) -> Path:
    """The folder that the photos of all entries are in, without links."""
    roots = {entry.root for entry in entries if entry.image is not None}
    roots = roots or {entry.root for entry in entries}
    return Path(os.path.commonpath([root.resolve() for root in roots]))


def below(root: Path, entries: Sequence[Entry]) -> list[Entry]:
    """The same entries with names relative to another folder, see :func:`common_root`."""
    return [_below(root, entry) for entry in entries]


def _below(root: Path, entry: Entry) -> Entry:
    if entry.image is None:
        return entry
    place = entry.root.resolve().relative_to(root)
    return replace(entry, name=(place / entry.name).as_posix(), root=root)
