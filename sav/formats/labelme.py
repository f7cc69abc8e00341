"""LabelMe's JSON records, one a photo."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.annotation_format import AnnotationFormat, Entry, Holds, LabelledPhoto
from sav.formats.folders import any_is, files_of
from sav.formats.geometry import ellipse, placed
from sav.formats.image_names import OTHER_NAME, ImageFolder, existing
from sav.formats.images import BROKEN, IMAGE_SUFFIXES, PICTURE_FORMATS
from sav.formats.json_files import read_json, read_record
from sav.formats.masks import Code
from sav.formats.outlines import outlines
from sav.formats.records import Shape, check_size, reason_of, whole
from sav.formats.splits import split_of

_AREAS = (None, "polygon", "rectangle", "oriented_rectangle", "rotation", "circle")
"""Types of shapes beside masks; "rotation" is X-AnyLabeling's word for oriented rectangles."""
_COMPUTED = ("circle", "rectangle", "mask")
"""Types with whose numbers something is computed here."""
_FURTHEST = 1e9
_NUMBERED = re.compile(r"\binstance \d+\b")
_SCORE = re.compile(r"\bscore (\d+(?:\.\d+)?)\b")
"""What SAV writes into descriptions: LabelMe has one number for all that belongs together. Where
instances have numbers of their own, that one is the vehicle."""


def read_shapes(file: Path, height: int, width: int) -> Iterator[Shape]:
    """The shapes of a record.

    Args:
        file: the record.
        height: of its photo, in pixels.
        width: of its photo, in pixels.

    Raises:
        SAVError: the file as a whole is not usable; the message leaves out its path.
    """
    contents = _load(file)
    # LabelMe applies the EXIF rotation before it takes the size, as we do.
    check_size((contents.get("imageWidth"), contents.get("imageHeight")), width, height)
    for number, shape in enumerate(contents["shapes"]):
        yield _shape(f"shape {number}", shape if isinstance(shape, dict) else {}, height, width)


def _load(file: Path) -> dict[str, Any]:
    contents = read_record(file)
    if not isinstance(contents, dict) or not isinstance(contents.get("shapes"), list):
        raise SAVError("not a LabelMe file: it has no list 'shapes'")
    return contents


def _shape(where: str, shape: dict[str, Any], height: int, width: int) -> Shape:
    label, group = shape.get("label"), whole(shape.get("group_id"))
    if label is None:
        return Shape(where, None, error="it has no label")
    try:
        if group is not None and type(group) is not int:
            raise SAVError(f"group_id {group!r} is not a whole number")
        segmentation = _segmentation(shape, height, width)
    except Exception as error:
        return Shape(where, label, error=reason_of(error))
    description = str(shape.get("description") or "").strip()
    numbered = _NUMBERED.search(description) is not None
    instance = (group, description) if numbered or (group is not None and description) else None
    vehicle = group if numbered else None
    written = _SCORE.search(description)
    # X-AnyLabeling has a field for it.
    score = float(written[1]) if written else shape.get("score")
    named = {"vehicle": vehicle, "group": group, "score": score}
    return Shape(where, label, segmentation, instance=instance, **named)


def _segmentation(shape: dict[str, Any], height: int, width: int) -> Any:
    """A polygon [x0, y0, x1, y1, ...], or the code of a mask."""
    points, kind = shape.get("points"), shape.get("shape_type")
    if not isinstance(points, list):
        raise SAVError("it has no list 'points'")
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise SAVError("a point is not a pair of numbers")
    # Of polygons, of which there are many, the numbers are checked where they are drawn.
    if kind in _COMPUTED and not all(_is_number(value) for point in points for value in point):
        raise SAVError("a coordinate is not a number, or far from any photo")
    if kind == "mask":
        return _mask(shape, height, width)
    # Before it had other shapes, LabelMe wrote no type.
    if kind not in _AREAS:
        raise SAVError(f"shapes of type {kind!r} are not read")
    if kind == "circle":
        if len(points) != 2:
            raise SAVError(
                f"a circle of {len(points)} points, not of its centre and one of its rim"
            )
        radius = math.dist(*points)
        if not radius:
            raise SAVError("it covers no pixel of the photo")
        return ellipse(*points[0], radius, radius)
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    if len(points) < 3:
        raise SAVError(f"a {kind or 'polygon'} of {len(points)} points has no area")
    return [value for point in points for value in point]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _FURTHEST


def _mask(shape: dict[str, Any], height: int, width: int) -> Code:
    """The picture in a shape, put where its box begins; what lies outside the photo is cut off."""
    if not isinstance(shape.get("mask"), str) or len(shape["points"]) != 2:
        raise SAVError("a shape of type 'mask' has no picture or no box")
    left, top, right, bottom = _box(shape["points"])
    try:
        # Before its pixels are unpacked: a few bytes may be a picture of any size.
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"])), formats=["PNG"]) as picture:
            if abs(picture.width - (right - left + 1)) > 1 or (
                abs(picture.height - (bottom - top + 1)) > 1
            ):
                raise SAVError("the picture of its mask does not fit its box")
            if picture.width > 2 * width or picture.height > 2 * height:
                raise SAVError("the picture of its mask is larger than the photo")
            piece = np.asarray(picture.convert("L")) > 0
    except BROKEN as error:
        raise SAVError(f"the picture of its mask cannot be read: {error}") from error
    return placed(piece, left, top, height, width)


def _box(points: Sequence[Sequence[float]]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom, the last pixels inclusive as LabelMe has them."""
    (x0, y0), (x1, y1) = points
    left, right = sorted((round(x0), round(x1)))
    top, bottom = sorted((round(y0), round(y1)))
    return left, top, right, bottom


def _find(data: Path, images: Path | None) -> list[Entry]:
    folder = ImageFolder(images or (data.parent if data.is_file() else data))
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in folder.photos:
        by_stem[path.stem].append(path)
    base = data.parent if data.is_file() else data
    entries = []
    for file in files_of(data, {".json"}):
        name = file.relative_to(base).with_suffix(".jpg").as_posix()
        split = split_of(file.relative_to(base).parts[-2::-1])
        blank = Entry(name, folder.root, None, file, str(file), split)
        try:
            contents = _load(file)
        except SAVError as error:
            if data.is_file() or _may_be_labelme(file):
                entries.append(replace(blank, lost=(str(error),)))
            continue
        entries.append(_entry(blank, contents, folder, by_stem[file.stem]))
    without = set(folder.photos) - {entry.image for entry in entries}
    if data.is_file():
        return entries
    return entries + [_unlabelled(path, folder.root) for path in sorted(without)]


def _entry(
    blank: Entry, contents: dict[str, Any], folder: ImageFolder, same_stem: list[Path]
) -> Entry:
    """With the photo that LabelMe would open, or else one of the record's name."""
    named, file = contents.get("imagePath"), blank.content
    named = named.replace("\\", "/") if isinstance(named, str) else ""
    name = PurePosixPath(blank.name).parent / PurePosixPath(named).name
    if contents.get("imageData") and name.suffix.lower() in IMAGE_SUFFIXES:
        blank = replace(blank, name=name.as_posix())
    beside = [path for path in same_stem if path.parent == file.parent]
    beside = beside or [path for path in same_stem if path.parent.name == file.parent.name]
    image = existing(file.parent / named) if named and not named.startswith("/") else None
    if image is None and len(beside or same_stem) == 1:
        (image,) = beside or same_stem
    image = image or (folder.find(named) if named else None)
    if image is None:
        return blank
    image = Path(os.path.normpath(image))
    root = folder.root if image.is_relative_to(folder.root) else image.parent
    other = (OTHER_NAME,) if image.stem not in (file.stem, PurePosixPath(named).stem) else ()
    return replace(
        blank, name=image.relative_to(root).as_posix(), root=root, image=image, notes=other
    )


def _unlabelled(image: Path, root: Path) -> Entry:
    inside = image.relative_to(root)
    name, split = inside.as_posix(), split_of(inside.parts[-2::-1])
    return Entry(name, root, None, None, name, split, lost=("the image has no annotation",))


def _may_be_labelme(file: Path) -> bool:
    """Whether it is no JSON, or one that has shapes."""
    try:
        contents = read_json(file)
    except SAVError:
        return True
    return isinstance(contents, dict) and "shapes" in contents


def _read(entry: Entry, height: int, width: int) -> Iterable[Shape]:
    return read_shapes(entry.content, height, width)


def _photo(entry: Entry) -> bytes | None:
    """The picture in a record, where it is one."""
    try:
        picture = base64.b64decode(read_json(entry.content).get("imageData") or "")
        with Image.open(io.BytesIO(picture), formats=PICTURE_FORMATS):
            return picture
    except (*BROKEN, AttributeError):
        return None


def _detect(data: Path) -> bool:
    named = data.is_dir() or data.suffix.lower() == ".json"
    return named and any_is(files_of(data, {".json"}), _load)


def labelme_record(
    polygons: Iterable[tuple[str, np.ndarray, int | None, str]],
    image_path: str,
    height: int,
    width: int,
) -> dict[str, Any]:
    """A record that LabelMe opens.

    Args:
        polygons: label, (N, 2) float x, y in pixels, group_id and description of each, in the order
            in which they are painted over each other.
        image_path: of the image, relative to the record's folder.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [
            {
                "label": label,
                "points": points.tolist(),
                "group_id": group_id,
                "description": description,
                "shape_type": "polygon",
                "flags": {},
            }
            for label, points, group_id, description in polygons
        ],
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def describe(number: int, score: float | None = None) -> str:
    """What a shape's description says beside its vehicle, its group_id."""
    return f"instance {number}" + ("" if score is None else f", score {score:.4f}")


def _write(photos: Iterator[LabelledPhoto], classes: Sequence[str], out: Path) -> None:
    del classes  # each record names its own
    for photo in photos:
        target = out / photo.split / Path(photo.name).with_suffix(".json")
        polygons = [
            (part.label, polygon, part.vehicle_id, describe(number, part.score))
            for number, part in enumerate(photo.instances, start=1)
            for polygon in outlines(part.mask)
        ]
        # LabelMe resolves the photo from the folder of the JSON.
        path = os.path.relpath(photo.image, target.parent)
        record = labelme_record(polygons, path, photo.height, photo.width)
        write_atomic(target, json.dumps(record, indent=1, allow_nan=False) + "\n")


LABELME = AnnotationFormat(
    name="labelme",
    title="LabelMe",
    layout="a .json for each photo, with its name or naming it",
    holds=Holds(),
    detect=_detect,
    find=_find,
    read=_read,
    write=_write,
    photo=_photo,
)
