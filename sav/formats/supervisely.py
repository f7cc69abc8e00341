"""Supervisely's project folders: meta.json, and in each data set an annotation a photo."""

from __future__ import annotations

import base64
import colorsys
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.annotation_format import AnnotationFormat, Entry, Holds, LabelledPhoto
from sav.formats.folders import files_below
from sav.formats.geometry import cut_to_box, number, picture_mask, placed, rectangle
from sav.formats.image_names import ImageFolder
from sav.formats.images import IMAGE_SUFFIXES
from sav.formats.json_files import read_json, read_record
from sav.formats.listing import listed, photo_entry, said_of_shape, shape_of, split_named
from sav.formats.masks import Code
from sav.formats.records import PartInstance, Shape, check_size

_META = "meta.json"
_ANNOTATIONS = "ann"
_NESTED = "datasets"
"""The folder of a data set's own data sets."""
_HEADERS = 2**16
"""Bytes of a picture's file beside its pixels."""


def _projects(data: Path) -> dict[Path, dict[Path, list[Path]]]:
    """The folders of projects, which have a meta.json with classes, and their annotations.

    Returns:
        for each project its folders "ann", and the files in each.
    """
    files = files_below(data, {".json"})
    projects = [file.parent for file in files if file.name == _META and _is_meta(file)]
    found: dict[Path, dict[Path, list[Path]]] = {}
    for file in files:
        above = [project for project in projects if file.is_relative_to(project)]
        if above and file.parent.name == _ANNOTATIONS:  # of nested projects the innermost
            found.setdefault(above[-1], {}).setdefault(file.parent, []).append(file)
    return found


def _is_meta(file: Path) -> bool:
    try:
        contents = read_json(file)
    except SAVError:
        return False
    return isinstance(contents, dict) and isinstance(contents.get("classes"), list)


def _detect(data: Path) -> bool:
    return data.is_dir() and bool(_projects(data))


def _find(data: Path, images: Path | None) -> list[Entry]:
    entries = []
    for project, places in _projects(data).items():
        folder = ImageFolder(images or data)
        for place, files in places.items():
            entries += _entries(place, files, project, folder)
    return listed(entries, data, images)


def _entries(
    place: Path, files: Sequence[Path], project: Path, folder: ImageFolder
) -> Iterator[Entry]:
    parent = place.parent.relative_to(project)
    words = [word for word in parent.parts if word != _NESTED]
    split = split_named(words[0] if words else "")
    own = place.parent / "img"
    photos = files_below(own, IMAGE_SUFFIXES) if own.is_dir() else []
    beside = {path.name: path for path in photos}
    for file in files:
        # car.jpg.json; old projects have car.json
        names = [file.stem, *(name for name in beside if PurePosixPath(name).stem == file.stem)]
        name = next((name for name in names if name in beside), file.stem)
        known = beside.pop(name, None)
        if known is None or not known.is_relative_to(folder.root):
            names = ["/".join([*words[i:], name]) for i in range(len(words) + 1)]
            named = next((one for one in names if folder.at(one)), names[0])
        else:
            named = known.relative_to(folder.root).as_posix()
        yield photo_entry(str(file), named, folder, file, file, split=split)
    for path in beside.values():
        lost = ("the image has no annotation",)
        name = path.relative_to(project).as_posix()
        yield Entry(name, project, None, None, str(path), split, lost=lost)


def _read(entry: Entry, height: int, width: int) -> Iterator[Shape]:
    contents = read_record(entry.content)
    if not isinstance(contents, dict) or not isinstance(contents.get("objects"), list):
        raise SAVError("it has no list 'objects'")
    size = contents.get("size")
    if isinstance(size, dict):
        check_size((size.get("width"), size.get("height")), width, height)
    numbers: dict[str, int] = {}
    for i, one in enumerate(contents["objects"]):
        known = one if isinstance(one, dict) else {}
        bound = known.get("instance")
        group = None if bound is None else numbers.setdefault(str(bound), len(numbers))
        yield _shape(f"object {i}", known, group, (height, width))


def _shape(where: str, one: Mapping[str, Any], group: int | None, size: tuple[int, int]) -> Shape:
    def draw() -> Any:
        kind = one.get("geometryType")
        if kind not in _SEGMENTATIONS:
            raise SAVError(f"an object of type {str(kind)[:40]!r} has no area that can be read")
        return _SEGMENTATIONS[kind](one, *size)

    tags = one.get("tags") if isinstance(one.get("tags"), list) else []
    said = {str(tag.get("name")): tag.get("value") for tag in tags if isinstance(tag, dict)}
    known = {**said_of_shape(said), "group": group}
    return shape_of(where, one.get("classTitle"), draw, known)


def _counts_pixels(numbers: Iterable[float]) -> bool:
    """Whether coordinates are those of pixels, as the SDK has them; else they are continuous."""
    return all(value == int(value) for value in numbers)


def _polygon(one: Mapping[str, Any], *_: int) -> tuple[list[list[float]], list[list[float]]]:
    parts = one.get("parts") or [one["points"]]
    outer = [_ring(part["exterior"]) for part in parts]
    holes = [_ring(hole) for part in parts for hole in part.get("interior") or ()]
    # The middle of a pixel, where they count pixels.
    more = 0.5 * _counts_pixels(value for ring in [*outer, *holes] for value in ring)
    outer, holes = ([[v + more for v in ring] for ring in rings] for rings in (outer, holes))
    return outer, holes


def _ring(points: Any) -> list[float]:
    return [number(value, "coordinate") for x, y in points for value in (x, y)]


def _rectangle(one: Mapping[str, Any], *_: int) -> list[float]:
    x0, y0, x1, y1 = _ring(one["points"]["exterior"])
    # Where they count pixels, the last row and column belong to it.
    more = int(_counts_pixels([x0, y0, x1, y1]))
    return rectangle(min(x0, x1), min(y0, y1), max(x0, x1) + more, max(y0, y1) + more)


def _bitmap(one: Mapping[str, Any], height: int, width: int) -> Code:
    bitmap = one["bitmap"]
    left, top = (int(number(value, "origin")) for value in bitmap["origin"])
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(base64.b64decode(bitmap["data"]), 4 * height * width + _HEADERS)
    except (zlib.error, ValueError) as error:
        raise SAVError(f"its bitmap cannot be unpacked: {error}") from error
    if unpacker.unconsumed_tail:
        raise SAVError("its bitmap is larger than the photo")
    return placed(picture_mask(data, height * width), left, top, height, width)


_SEGMENTATIONS: dict[Any, Callable[..., Any]] = {
    "polygon": _polygon,
    "multipolygon": _polygon,
    "rectangle": _rectangle,
    "bitmap": _bitmap,
}


def _write(photos: Iterator[LabelledPhoto], classes: Sequence[str], out: Path) -> None:
    numbers = {name: i for i, name in enumerate(classes, start=1)}
    for photo in photos:
        *folders, name = PurePosixPath(photo.name).parts
        nested = [word for folder in folders for word in (_NESTED, folder)]
        target = out.joinpath(photo.split, *nested, "ann", f"{name}.json")
        record = {
            "description": "",
            "tags": [],
            "size": {"height": photo.height, "width": photo.width},
            "objects": [_object(part, numbers[part.label]) for part in photo.instances],
        }
        write_atomic(target, json.dumps(record, allow_nan=False) + "\n")
    number = {"value_type": "any_number", "color": "#808080"}
    meta = {
        "classes": [
            {"id": i, "title": name, "shape": "bitmap", "color": _colour(i, len(classes))}
            for name, i in numbers.items()
        ],
        "tags": [{"name": name, **number} for name in ("vehicle", "score")],
        "projectType": "images",
    }
    write_atomic(out / _META, json.dumps(meta) + "\n")


def _colour(i: int, count: int) -> str:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(i / count, 0.8, 0.9))
    return f"#{red:02X}{green:02X}{blue:02X}"


def _object(part: PartInstance, number: int) -> dict[str, Any]:
    piece, left, top = cut_to_box(part.mask)
    said = {"vehicle": part.vehicle_id, "score": part.score}
    return {
        "classId": number,
        "classTitle": part.label,
        "description": "",
        "geometryType": "bitmap",
        "tags": [
            {"name": name, "value": value} for name, value in said.items() if value is not None
        ],
        "bitmap": {"origin": [left, top], "data": _packed(piece)},
    }


def _packed(piece: np.ndarray) -> str:
    sink = io.BytesIO()
    picture = Image.fromarray(piece.astype(np.uint8))
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(sink, "PNG", transparency=0)
    return base64.b64encode(zlib.compress(sink.getvalue())).decode("ascii")


SUPERVISELY = AnnotationFormat(
    name="supervisely",
    title="Supervisely",
    layout="meta.json, <data set>/ann/<photo>.json, photos in <data set>/img",
    holds=Holds(masks=True),
    detect=_detect,
    find=_find,
    read=_read,
    write=_write,
)
