"""CVAT's XML 1.1 "for images"."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.annotation_format import AnnotationFormat, Entry, Holds, LabelledPhoto
from sav.formats.folders import files_of
from sav.formats.geometry import (
    cut_to_box,
    ellipse,
    number,
    placed,
    rectangle,
    runs_by_row,
)
from sav.formats.image_names import ImageFolder
from sav.formats.listing import listed, photo_entry, said_of_shape, shape_of, split_named
from sav.formats.masks import Code
from sav.formats.outlines import outlines
from sav.formats.records import PartInstance, Shape, check_size, whole
from sav.formats.xml_text import xml_text

_FILE = "annotations.xml"
_ROOT = "annotations"
_HEAD = 2**16
_BLOCK = 2**20
_Drawn = tuple[str, dict[str, str], dict[str, str]]
"""Of a shape: its tag, the attributes of that, and what the annotator said, by name."""


class _Images:
    """Receives what an XML parser finds, and keeps the images and their shapes.

    Attributes:
        images: the attributes of each image, and its shapes.
    """

    def __init__(self) -> None:
        self.images: list[tuple[dict[str, str], list[_Drawn]]] = []
        self._path: list[str] = []
        self._name, self._text = "", [""]

    def doctype(self, *_: Any) -> None:
        # Entities are declared there, which may grow without bounds, or name other files.
        raise SAVError("it declares a document type, which CVAT never does")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        depth, in_image = len(self._path), self._path[1:2] == ["image"]
        if depth == 1 and tag == "track":
            raise SAVError(
                "it has the tracks of a video, which are not read; export it as 'CVAT for images'"
            )
        if depth == 1 and tag == "image":
            self.images.append((attributes, []))
        elif depth == 2 and in_image:
            self.images[-1][1].append((tag, attributes, {}))
        elif depth == 3 and in_image and tag == "attribute":
            self._name, self._text = attributes.get("name", ""), []
        self._path.append(tag)

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, tag: str) -> None:
        self._path.pop()
        if len(self._path) == 3 and self._path[1] == "image" and tag == "attribute":
            self.images[-1][1][-1][2][self._name] = "".join(self._text).strip()
        self._text = []

    def close(self) -> None:
        """Nothing is left to do."""


def _parse(file: Path) -> list[tuple[dict[str, str], list[_Drawn]]]:
    found = _Images()
    try:
        parser = ElementTree.XMLParser(target=found)
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                parser.feed(block)
        parser.close()
    except SAVError as error:
        raise SAVError(f"{file}: {error}") from error
    except OSError as error:
        raise SAVError(f"{file}: cannot be read: {error.strerror}") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise SAVError(f"{file}: not valid XML: {error}") from error
    return found.images


def _files(data: Path) -> list[Path]:
    """CVAT's files, and those that no parser understands: reading them says so."""
    return [file for file in files_of(data, {".xml"}) if _root(file) in (_ROOT, None)]


def _root(file: Path) -> str | None:
    """The first tag of a file, in any encoding and after any comment; None: it has none."""
    tags: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, _: tags.append(tag)
    try:
        with file.open("rb") as stream:
            while not tags and (block := stream.read(_HEAD)):
                parser.Parse(block)
    except (OSError, ValueError, LookupError, expat.ExpatError):
        pass  # what comes behind the tag is for the reader
    return tags[0] if tags else None


def _detect(data: Path) -> bool:
    return any(_root(file) == _ROOT for file in files_of(data, {".xml"}))


def _find(data: Path, images: Path | None) -> list[Entry]:
    entries = []
    for file in _files(data):
        folder = ImageFolder(images or (data if data.is_dir() else file.parent))
        for i, (image, shapes) in enumerate(_parse(file)):
            size = image.get("width"), image.get("height")
            split = split_named(image.get("subset") or file.stem)
            name, content = image.get("name"), (size, shapes)
            entries.append(photo_entry(f"image {i}", name, folder, content, file, split=split))
    return listed(entries, data, images)


def _read(entry: Entry, height: int, width: int) -> Iterator[Shape]:
    stated, shapes = entry.content
    check_size(stated, width, height)
    for i, (tag, drawn, said) in enumerate(shapes):
        if tag != "tag":  # says something of the whole photo
            yield _shape(f"{tag} {i} of {entry.name}", tag, drawn, said, (height, width))


def _shape(
    where: str, tag: str, drawn: dict[str, str], said: dict[str, str], size: tuple[int, int]
) -> Shape:
    def draw() -> Any:
        if tag not in _SEGMENTATIONS:
            raise SAVError(f"a shape of type '{tag}' has no area that can be read")
        return _SEGMENTATIONS[tag](drawn, *size)

    group = whole(drawn.get("group_id"))
    known = {**said_of_shape(said), "group": group or None}
    return shape_of(where, drawn.get("label"), draw, known)


def _numbers(drawn: Mapping[str, str], *names: str) -> list[float]:
    missing = [name for name in names if name not in drawn]
    if missing:
        raise SAVError(f"it has no '{missing[0]}'")
    return [number(drawn[name], name) for name in names]


def _polygon(drawn: Mapping[str, str], *_: int) -> list[float]:
    pairs = [point.split(",") for point in drawn.get("points", "").split(";")]
    if not all(len(pair) == 2 for pair in pairs):
        raise SAVError("a point is not a pair of numbers")
    return [number(value, "coordinate") for pair in pairs for value in pair]


def _box(drawn: Mapping[str, str], *_: int) -> list[float]:
    sides = _numbers(drawn, "xtl", "ytl", "xbr", "ybr")
    return rectangle(*sides, turn=number(drawn.get("rotation", 0), "rotation"))


def _ellipse(drawn: Mapping[str, str], *_: int) -> list[float]:
    measures = _numbers(drawn, "cx", "cy", "rx", "ry")
    return ellipse(*measures, number(drawn.get("rotation", 0), "rotation"))


def _mask(drawn: Mapping[str, str], height: int, width: int) -> Code:
    left, top, w, h = (int(side) for side in _numbers(drawn, "left", "top", "width", "height"))
    if not (0 < w <= width and 0 < h <= height):
        raise SAVError("its box is empty, or larger than the photo")
    try:
        runs = [int(run) for run in drawn.get("rle", "").split(",")]
    except ValueError as error:
        raise SAVError("its run lengths are not whole numbers") from error
    if min(runs) < 0 or sum(runs) != w * h:
        raise SAVError(f"its run lengths do not add up to the {w * h} pixels of its box")
    piece = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(h, w)
    return placed(piece, left, top, height, width)


_SEGMENTATIONS: dict[str, Callable[..., Any]] = {
    "polygon": _polygon,
    "box": _box,
    "ellipse": _ellipse,
    "mask": _mask,
}


def _write(photos: Iterator[LabelledPhoto], classes: Sequence[str], out: Path) -> None:
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    labels = ElementTree.SubElement(_child(_child(root, "meta"), "task"), "labels")
    for name in classes:
        _add_label(labels, name)
    for i, photo in enumerate(photos):
        about = {"id": str(i), "name": photo.name}
        if photo.split != "train":  # only projects have subsets, and some tools read no others
            about["subset"] = photo.split
        size = {"width": str(photo.width), "height": str(photo.height)}
        image = _child(root, "image", **about, **size)
        for z, part in enumerate(photo.instances):
            _add_part(image, part, z)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=False)
    write_atomic(out / _FILE, f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')


def _child(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, {k: xml_text(v) for k, v in attributes.items()})


def _add_label(labels: ElementTree.Element, name: str) -> None:
    """A label, and the attributes without which CVAT drops what shapes say."""
    label = _child(labels, "label")
    _child(label, "name").text = xml_text(name)
    attributes = _child(label, "attributes")
    for said in ("vehicle", "instance", "score"):
        attribute = _child(attributes, "attribute")
        fields = {"name": said, "mutable": "False", "input_type": "text"}
        for tag, text in {**fields, "default_value": "", "values": ""}.items():
            _child(attribute, tag).text = text


def _add_part(image: ElementTree.Element, part: PartInstance, z: int) -> None:
    """A polygon where one is enough, else a mask: those of CVAT have holes and several pieces."""
    source = "manual" if part.score is None else "auto"
    common = {"label": part.label, "source": source, "occluded": "0", "z_order": str(z)}
    polygons = outlines(part.mask)
    if len(polygons) == 1:
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in polygons[0])
        drawn = _child(image, "polygon", **common, points=points)
    else:
        piece, left, top = cut_to_box(part.mask)
        box = {"left": left, "top": top, "width": piece.shape[1], "height": piece.shape[0]}
        rle = ", ".join(map(str, runs_by_row(piece).tolist()))
        sides = {name: str(side) for name, side in box.items()}
        drawn = _child(image, "mask", **common, rle=rle, **sides)
    if part.vehicle_id is not None:
        _child(drawn, "attribute", name="vehicle").text = str(part.vehicle_id)
    if part.score is not None:
        _child(drawn, "attribute", name="score").text = f"{part.score:.4f}"


CVAT = AnnotationFormat(
    name="cvat",
    title="CVAT XML 1.1 for images",
    layout="annotations.xml, photos beside or in a folder below",
    holds=Holds(),
    detect=_detect,
    find=_find,
    read=_read,
    write=_write,
    splits_apart=False,
)
