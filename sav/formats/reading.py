"""From the shapes of one photo to its part instances; what is wrong stays with its record."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sav.errors import SAVError
from sav.formats.annotation_format import AnnotationFormat, Entry
from sav.formats.images import read_image_size
from sav.formats.labels import Labels
from sav.formats.masks import Code, area, has_polygons, merge_codes, run_length_code
from sav.formats.records import PartInstance, RecordResult, Shape, reason_of, whole


@dataclass(frozen=True)
class Reading:
    """How records are read.

    Attributes:
        labels: of the classes.
        split_classes: names of classes of which each polygon becomes an instance.
        min_pixels: smaller instances are dropped and counted.
        group: what a tool's groups are, the pieces of one "instance" or the parts of one "vehicle".
        skip_crowds: whether shapes that are marked as crowds are problems, and not instances.
        joined: classes whose components of a label map are one instance, either one a "vehicle" or
            one a "photo"; of the other classes each component is an instance.
    """

    labels: Labels = field(default_factory=Labels)
    split_classes: frozenset[str] = frozenset()
    min_pixels: int = 4
    group: str = "instance"
    skip_crowds: bool = False
    joined: Mapping[str, str] = field(default_factory=dict)


def read_entry(form: AnnotationFormat, reading: Reading, entry: Entry) -> RecordResult:
    """Read one photo and its annotations.

    A photo all of whose annotations are lost or ignored is left out: without any, it would say that
    there is nothing. Whatever goes wrong in one record is that record's problem.
    """
    result = RecordResult(notes=Counter(entry.notes))
    with problems_of(entry.source, entry.name, result):
        _read(form, reading, entry, result)
    return result


@contextmanager
def problems_of(source: str, record: str, result: RecordResult) -> Iterator[None]:
    """Make of any exception a problem of one record.

    Args:
        source: see :class:`Problem`.
        record: see :class:`Problem`.
        result: of the record.
    """
    try:
        yield
    except Exception as error:
        result.skip(source, reason_of(error), record)


def _read(form: AnnotationFormat, reading: Reading, entry: Entry, result: RecordResult) -> None:
    for reason in entry.lost:
        result.skip(entry.source, reason)
    if entry.image is None:
        if not entry.lost:
            result.skip(entry.source, "there is no such image", entry.name)
        return
    try:
        width, height = read_image_size(entry.image)
    except SAVError as error:
        result.skip(entry.image, error)
        return
    shapes = list(form.read(entry, height, width))
    result.instances = instances_of(shapes, (height, width), reading, entry.source, result)
    finish(entry, (height, width), len(shapes) + len(entry.lost), result)


def finish(entry: Entry, size: tuple[int, int], annotated: int, result: RecordResult) -> None:
    """Keep a photo, or leave it out if none of its annotations is left.

    Args:
        entry: of the photo.
        size: its height, width in pixels.
        annotated: how many annotations it had.
        result: receives the photo, a problem or a note.
    """
    if annotated and not result.instances:
        if result.problems:
            reason = f"left out, because none of its {annotated} annotations can be used"
            result.skip(entry.source, reason, entry.name)
        else:
            result.notes["photos left out, all of whose annotations are ignored or tiny"] += 1
        return
    result.notes["photos annotated as without any part"] += not annotated
    result.image = {"file_name": entry.name, "width": size[1], "height": size[0]}
    if entry.group is not None:
        result.image["group"] = entry.group


def instances_of(
    shapes: list[Shape],
    size: tuple[int, int],
    reading: Reading,
    source: str,
    result: RecordResult,
) -> list[PartInstance]:
    """Check shapes and join the pieces of instances.

    Args:
        shapes: of one photo.
        size: its height, width in pixels.
        reading: see :class:`Reading`.
        source: the file that problems name.
        result: receives notes and problems.
    """
    found: dict[Hashable, list[_Piece]] = defaultdict(list)
    for shape in shapes:
        name = f" ({shape.label})" if isinstance(shape.label, str) else ""
        with problems_of(source, shape.where + name, result):
            label = _label(shape, reading, result)
            if label is None:
                continue
            split = label in reading.split_classes
            for polygon in _polygons(shape, result) if split else [shape]:
                with problems_of(source, polygon.where + name, result):
                    key, piece = _piece(polygon, size, reading, label)
                    found[label, len(found) if split or key is None else key].append(piece)
    joined = [
        PartInstance(label, merge_codes([piece.code for piece in pieces]), *pieces[0][1:])
        for (label, _), pieces in found.items()
    ]
    return [one for one in joined if _is_large(one, reading, result)]


class _Piece(NamedTuple):
    """A piece of an instance, and what is known of it."""

    code: Code
    vehicle: int | None
    score: float | None


def _label(shape: Shape, reading: Reading, result: RecordResult) -> str | None:
    """The class of a shape that can be used; None where it is to be ignored."""
    if shape.label is None and shape.error:
        raise SAVError(shape.error)
    label = reading.labels.read(shape.label, result.notes)
    if label is None:
        return None
    if shape.error:
        raise SAVError(shape.error)
    if shape.crowd and reading.skip_crowds:
        raise SAVError("it is a crowd (iscrowd 1)")
    result.notes["crowds (iscrowd 1) read as instances"] += bool(shape.crowd)
    return label


def _polygons(shape: Shape, result: RecordResult) -> list[Shape]:
    """Each polygon of a shape as a shape of its own; a mask stays whole."""
    polygons = shape.segmentation
    if not has_polygons(polygons):
        return [shape]
    result.notes["instances split off by polygon"] += len(polygons) - 1
    where = [shape.where] if len(polygons) == 1 else _numbered(shape.where, len(polygons))
    return [
        replace(shape, where=one, segmentation=[polygon])
        for one, polygon in zip(where, polygons, strict=True)
    ]


def _numbered(where: str, count: int) -> list[str]:
    return [f"{where}, polygon {i}" for i in range(count)]


def _piece(
    shape: Shape, size: tuple[int, int], reading: Reading, label: str
) -> tuple[Hashable, _Piece]:
    """Which instance a shape belongs to, None where it is one; and its checked contents."""
    instance, vehicle = _belongs_to(shape, reading.group)
    code = run_length_code(shape.segmentation, *size, holes=shape.holes)
    if not area(code):
        raise SAVError("it covers no pixel of the photo")
    piece = _Piece(code, vehicle_number(vehicle), _score(shape.score))
    if shape.component:
        return {"vehicle": (piece.vehicle,), "photo": ()}.get(reading.joined.get(label)), piece
    return None if instance is None else (instance, piece.vehicle), piece


def _belongs_to(shape: Shape, group: str) -> tuple[Hashable, Any]:
    """The instance and the vehicle of a shape, as far as they are said."""
    if group == "vehicle" and shape.vehicle is None:
        return shape.instance, shape.group
    return shape.group if shape.instance is None else shape.instance, shape.vehicle


def _is_large(instance: PartInstance, reading: Reading, result: RecordResult) -> bool:
    large = instance.area >= max(1, reading.min_pixels)
    result.notes[f"instances under {reading.min_pixels} pixels dropped"] += not large
    return large


def vehicle_number(value: Any) -> int | None:
    """The number of a vehicle as a file has it; None where it is not said.

    Raises:
        SAVError: it is no whole number.
    """
    number = whole(value)
    if number is None or (type(number) is int and abs(number) < 2**31):
        return number
    raise SAVError(f"its vehicle {value!r} is not a whole number")


def _score(value: Any) -> float | None:
    if value is None or (type(value) in (int, float) and 0 <= value <= 1):
        return value
    raise SAVError(f"its score {value!r} is not between 0 and 1")
