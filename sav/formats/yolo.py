"""YOLO's segmentation labels: a text file a photo, a line a part."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from sav.errors import SAVError
from sav.files import atomic_path, write_atomic
from sav.formats.annotation_format import AnnotationFormat, Entry, Holds, LabelledPhoto
from sav.formats.labels import Unnamed
from sav.formats.outlines import join_polygons, outlines
from sav.formats.records import PartInstance, Shape
from sav.formats.yolo_layout import (
    Pair,
    class_names,
    find_pairs,
    find_yaml,
    has_labels,
    read_text,
    read_yaml,
)

_FURTHEST = 2.0
"""Coordinates count in sides of the photo; further ones are pixels."""
_NO_LABEL = "it has no label file; put an empty one there if the photo shows no part"


@dataclass(frozen=True)
class _Labels:
    """A label file and what its class numbers are called."""

    file: Path
    names: Mapping[int, str]


def _detect(data: Path) -> bool:
    try:
        if data.is_file():
            return data.suffix.lower() in (".yaml", ".yml") and bool(read_yaml(data))
        file = find_yaml(data)
        return has_labels(data) or (
            file is not None and bool({"train", "val"} & {*read_yaml(file)})
        )
    except SAVError:
        return has_labels(data)


def _find(data: Path, images: Path | None) -> list[Entry]:
    file = find_yaml(data)
    folder = data.parent if data.is_file() else data
    names = class_names(folder, file)
    pairs = sorted(find_pairs(folder, file, images), key=lambda pair: (len(pair.name), pair.name))
    return [_entry(pair, names, file) for pair in pairs]


def _entry(pair: Pair, names: Mapping[int, str], file: Path | None) -> Entry:
    if pair.problem:
        lost = (pair.problem,)
        return Entry(pair.name, pair.root, None, None, pair.name, pair.split, lost=lost)
    if pair.label is not None:
        content = _Labels(pair.label, names)
        return Entry(pair.name, pair.root, pair.photo, content, str(pair.label), pair.split)
    if pair.photo is not None:
        lost = (_NO_LABEL,)
        return Entry(pair.name, pair.root, None, None, pair.name, pair.split, lost=lost)
    lost = (f"{pair.name}: there is no such image, list or folder",)
    return Entry("", pair.root, None, None, str(file), pair.split, lost=lost)


def _read(entry: Entry, height: int, width: int) -> Iterator[Shape]:
    lines = [line.split() for line in read_text(entry.content.file).splitlines()]
    records = [(number, words) for number, words in enumerate(lines, start=1) if words]
    # A confidence makes the count of numbers even. It is one only where all lines have it: else it
    # is half of a point that was cut off.
    scored = all(len(words) % 2 == 0 for _, words in records)
    first: dict[tuple[str, ...], int] = {}
    for number, words in records:
        same = first.setdefault(tuple(words), number)
        if same != number:
            yield Shape(f"line {number}", None, error=f"it is the same as line {same}")
            continue
        try:
            label, polygon, score = _parse(words, entry.content.names, scored, height, width)
        except SAVError as error:
            yield Shape(f"line {number}", None, error=str(error))
            continue
        yield Shape(f"line {number}", label, polygon, score=score)


def _parse(
    words: Sequence[str], names: Mapping[int, str], scored: bool, height: int, width: int
) -> tuple[str | Unnamed, list[float], float | None]:
    """Label, polygon in pixels and score of a line."""
    try:
        number, *numbers = map(float, words)
    except ValueError as error:
        raise SAVError("it has something that is no number") from error
    if not (number.is_integer() and 0 <= number < 2**31):
        raise SAVError(f"{words[0]:.40} is no number of a class")
    if names and int(number) not in names:
        raise SAVError(f"there is no class {int(number)} among the {len(names)} names")
    if len(numbers) in (4, 5):
        raise SAVError(f"it is a box of class {names.get(int(number), words[0][:40])!r}, no mask")
    score = numbers.pop() if scored else None
    if len(numbers) % 2:
        raise SAVError("it has an odd number of coordinates, and other lines have no confidence")
    if not all(abs(value) <= _FURTHEST for value in numbers):
        raise SAVError("it has coordinates that are not between 0 and 1")
    sides = (width, height) * (len(numbers) // 2)
    label = names.get(int(number), Unnamed(int(number)))
    return label, [value * side for value, side in zip(numbers, sides, strict=True)], score


def _write(photos: Iterator[LabelledPhoto], classes: Sequence[str], out: Path) -> None:
    numbers = {name: number for number, name in enumerate(classes)}
    splits: dict[str, None] = {}
    for photo in photos:
        path = PurePosixPath(photo.name)
        splits.setdefault(photo.split)
        scored = any(part.score is not None for part in photo.instances)
        lines = [_line(photo, part, numbers[part.label], scored) for part in photo.instances]
        label = out / "labels" / photo.split / path.with_suffix(".txt")
        with atomic_path(out / "images" / photo.split / path) as temporary:
            shutil.copyfile(photo.image, temporary)
        write_atomic(label, "".join(lines))
    # Without "path" Ultralytics starts from the folder of this file.
    keys = {"valid": "val"}
    folders = {keys.get(split, split): f"images/{split}" for split in splits}
    contents = {**folders, "names": dict(enumerate(classes))}
    text = yaml.safe_dump(contents, sort_keys=False, allow_unicode=True)
    write_atomic(out / "data.yaml", text)


def _line(photo: LabelledPhoto, part: PartInstance, number: int, scored: bool) -> str:
    """One ring: pieces and the sides of holes are joined by bridges of no width.

    Where other parts of the photo have scores, one without is certain: a file has all or none.
    """
    ring = join_polygons(outlines(part.mask)) / (photo.width, photo.height)
    numbers = [f"{value:.6f}" for value in ring.ravel()]
    score = [f"{1.0 if part.score is None else part.score:.6f}"] if scored else []
    return " ".join([str(number), *numbers, *score]) + "\n"


YOLO = AnnotationFormat(
    name="yolo",
    title="YOLO segmentation",
    layout="labels/<split>/*.txt beside images/<split>/, names in data.yaml",
    holds=Holds(vehicles=False),
    detect=_detect,
    find=_find,
    read=_read,
    write=_write,
)
