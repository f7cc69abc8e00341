"""Annotations of any format -> any other format."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path

from sav.errors import SAVError
from sav.formats.annotation_format import AnnotationFormat, Entry, Holds, LabelledPhoto
from sav.formats.entries import below, common_root, ready
from sav.formats.reading import Reading, read_entry
from sav.formats.records import Problem, RecordResult
from sav.parallel import map_in_processes

_CHUNK = 16
_LISTED_PROBLEMS = 10
_LOSSES = {
    "instances": "which pixels are of which instance of a class",
    "vehicles": "which part is of which vehicle",
    "holes": "holes of parts",
    "pieces": "that several pieces are one part",
    "overlaps": "which parts lie under others",
    "scores": "scores",
}
"""What is lost where a format does not hold it."""


def convert(
    source: AnnotationFormat,
    entries: Sequence[Entry],
    reading: Reading,
    target: AnnotationFormat,
    out: Path,
    *,
    workers: int = 0,
    strict: bool = False,
) -> None:
    """Write annotations in another format, and print what was lost and skipped.

    Args:
        source: what reads the entries.
        entries: see :class:`AnnotationFormat`.
        reading: how.
        target: what writes them.
        out: folder to write to, whose files are written over.
        workers: number of processes, 0 for one a core.
        strict: stop at the first record that cannot be used.

    Raises:
        SAVError: no photo can be used, or there is a problem and ``strict`` is set.
    """
    if target.write is None:
        raise SAVError(f"--to {target.name}: {target.title} can be read only")
    entries = _named_once(ready(source, entries, out / "images"), target)
    task = partial(read_entry, source, reading)
    results = map_in_processes(task, entries, workers=workers, chunk=_CHUNK, title="read")
    kept = [(entry, result) for entry, result in zip(entries, results, strict=True)]
    problems = [problem for _, result in kept for problem in result.problems]
    if strict and problems:
        raise SAVError(str(problems[0]))
    photos = [_photo(entry, result) for entry, result in kept if result.image is not None]
    if not photos:
        first = f"; the first problem is {problems[0]}" if problems else ""
        raise SAVError(f"no photo can be converted{first}")
    if target.files_by_stem:
        _check_stems(photos)
    classes = _classes(photos, reading)
    target.write(iter(photos), classes, out)
    notes: Counter[str] = sum((result.notes for _, result in kept), Counter())
    lines = [
        f"{len(photos)} photos, {sum(len(photo.instances) for photo in photos)} parts of "
        f"{len(classes)} classes",
        *(f"{note}: {count}" for note, count in sorted(notes.items()) if count),
        *(f"{target.title} does not hold {loss}" for loss in _lost(photos, target.holds)),
        *_skipped(problems),
        f"written to {out}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _named_once(entries: Sequence[Entry], target: AnnotationFormat) -> list[Entry]:
    """With names that are unique in a split, or in all: several folders may have one name."""
    if not target.splits_apart:
        return below(common_root(entries), entries)
    splits: dict[str, list[Entry]] = {}
    for entry in entries:
        splits.setdefault(entry.split, []).append(entry)
    return [entry for members in splits.values() for entry in below(common_root(members), members)]


def _check_stems(photos: Sequence[LabelledPhoto]) -> None:
    owners: dict[tuple[str, Path], str] = {}
    for photo in photos:
        stem = photo.split, Path(photo.name).with_suffix("")
        other = owners.setdefault(stem, photo.name)
        if other != photo.name:
            raise SAVError(f"{other} and {photo.name}: both would be one file; rename a photo")


def _photo(entry: Entry, result: RecordResult) -> LabelledPhoto:
    width, height = result.image["width"], result.image["height"]
    parts = sorted(result.instances, key=lambda part: -part.area)
    return LabelledPhoto(entry.image, entry.name, height, width, parts, entry.split)


def _classes(photos: Iterable[LabelledPhoto], reading: Reading) -> list[str]:
    """The vocabulary's classes, or else those that the photos show, in the order of their names."""
    if reading.labels.known is not None:
        return list(reading.labels.known)
    return sorted({part.label for photo in photos for part in photo.instances})


def _skipped(problems: Sequence[Problem]) -> Iterator[str]:
    yield from (f"skipped: {problem}" for problem in problems[:_LISTED_PROBLEMS])
    if len(problems) > _LISTED_PROBLEMS:
        yield f"... and {len(problems) - _LISTED_PROBLEMS} more"


def _lost(photos: Sequence[LabelledPhoto], holds: Holds) -> Iterator[str]:
    """What the photos have and the format does not hold."""
    parts = [part for photo in photos for part in photo.instances]
    present = {
        "vehicles": any(part.vehicle_id is not None for part in parts),
        "scores": any(part.score is not None for part in parts),
    }
    for one in fields(holds):
        if one.name in _LOSSES and not getattr(holds, one.name) and present.get(one.name, True):
            yield _LOSSES[one.name]
