"""The annotated photos that are checked; what cannot be read is kept as a problem."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from sav.errors import SAVError
from sav.formats.coco import info_of, read_coco
from sav.formats.coco_lists import category_names, id_of
from sav.formats.masks import MAX_PIXELS, decode_codes, run_length_code
from sav.formats.reading import vehicle_number
from sav.ontology import Ontology, load_ontology


class Mark(NamedTuple):
    """A mask to show in a picture.

    Attributes:
        code: its run-length code, of the photo's size.
        class_id: that is named, and whose colour it has.
        predicted: whether the model says so, not the annotation.
    """

    code: dict[str, Any]
    class_id: int
    predicted: bool = False


@dataclass(frozen=True, eq=False)
class Part:
    """An annotated part.

    Attributes:
        id: of the annotation.
        class_id: 0-based id in the vocabulary.
        vehicle: number of its vehicle in the photo.
        code: compressed run-length code of its mask.
        box: (4,) int64 XYXY pixels of the mask, the far edges exclusive; zeros where it is empty.
        area: pixels.
    """

    id: int
    class_id: int
    vehicle: int
    code: dict[str, Any]
    box: np.ndarray
    area: int

    @classmethod
    def of(cls, id_: int, class_id: int, vehicle: int, code: dict[str, Any]) -> Part:
        """With the box and the area of a code."""
        x, y, width, height = coco_mask.toBbox(code).astype(np.int64).tolist()
        box = np.array([x, y, x + width, y + height])
        return cls(id_, class_id, vehicle, code, box, int(coco_mask.area(code)))

    def crop(self) -> np.ndarray:
        """Its mask (h, w) uint8 within its box."""
        (mask,) = decode_codes([self.code], *self.code["size"])
        left, top, right, bottom = self.box.tolist()
        return np.ascontiguousarray(mask[top:bottom, left:right])

    @property
    def mark(self) -> Mark:
        """To show it."""
        return Mark(self.code, self.class_id)


@dataclass(frozen=True, eq=False)
class Photo:
    """An annotated photo.

    Attributes:
        data: name of its annotation file.
        id: in that file.
        path: of the image.
        size: height and width in pixels, as the file says.
        group: see :class:`sav.gallery.photos.Photo`.
        parts: those that can be read; crowds are left out.
        problems: one line for each record that cannot be read.
    """

    data: str
    id: int
    path: Path
    size: tuple[int, int]
    group: str | None = None
    parts: list[Part] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """Tells it from all others, and gives their order."""
        return self.data, str(self.id)

    def vehicles(self) -> Iterator[list[Part]]:
        """The parts of each vehicle that have a pixel."""
        members = defaultdict(list)
        for part in self.parts:
            if part.area:
                members[part.vehicle].append(part)
        yield from members.values()


@dataclass(frozen=True, eq=False)
class CheckedData:
    """The photos of some annotation files, of one vocabulary."""

    ontology: Ontology
    photos: list[Photo]


def read_data(files: list[Path], ontology: str | None = None) -> CheckedData:
    """Read part annotation files, as ``sav prepare`` writes them.

    Args:
        files: of one vocabulary, with different names.
        ontology: name of the vocabulary or its YAML file; None takes what the first file names.

    Raises:
        SAVError: a file is missing, is no COCO file, or has other classes than the vocabulary.
    """
    photos: list[Photo] = []
    known = None
    for name, path in zip(_names(files), files, strict=True):
        contents = read_coco(path)
        stated = ontology or info_of(contents, path).get("ontology")
        if stated is None:
            raise SAVError(f"{path}: it names no ontology; give it with --ontology")
        vocabulary = load_ontology(stated)
        if known not in (None, vocabulary):
            raise SAVError(f"{path}: its parts are those of {stated}, not of {known.name}")
        known = vocabulary
        photos += _read_file(name, path, contents, vocabulary)
    if known is None or not photos:
        raise SAVError(f"{', '.join(map(str, files))}: no image is listed, nothing to check")
    return CheckedData(known, photos)


def _names(files: list[Path]) -> list[str]:
    """The files' names; with their folders where two have the same."""
    several = Counter(path.name for path in files)
    names = [path.name if several[path.name] == 1 else str(path) for path in files]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SAVError(f"{twice[0]}: it is given twice")
    return names


def _read_file(name: str, path: Path, contents: dict[str, Any], ontology: Ontology) -> list[Photo]:
    root = path.parent / info_of(contents, path).get("image_root", ".")
    names = category_names(contents["categories"], path)
    unknown = next((n for n in names.values() if n not in ontology.class_names), None)
    if unknown is not None:
        raise SAVError(f"{path}: category '{unknown}' is not in the ontology {ontology.name}")
    class_ids = {number: ontology.class_id(category) for number, category in names.items()}
    photos: dict[str, Photo] = {}
    for image in contents["images"]:
        number = id_of(image["id"])
        if number is None or number in photos:
            raise SAVError(f"{path}: the image id {image['id']} is none, or is there twice")
        photos[number] = _photo(name, path, root, image)
    known: set[str] = set()
    for annotation in contents["annotations"]:
        number = id_of(annotation["image_id"])
        if number not in photos:
            where = f"annotation {annotation['id']}: there is no image {annotation['image_id']}"
            raise SAVError(f"{path}: {where}; prepare it again")
        _add(photos[number], annotation, class_ids, known)
    return list(photos.values())


def _photo(name: str, path: Path, root: Path, image: dict[str, Any]) -> Photo:
    height, width = size = image["height"], image["width"]
    if not all(type(side) is int and side > 0 for side in size) or height * width > MAX_PIXELS:
        raise SAVError(f"{path}: image {image['id']}: its size is {width}x{height}")
    if not isinstance(image["file_name"], str):
        raise SAVError(f"{path}: image {image['id']}: its file name is {image['file_name']}")
    group = image.get("group")
    group = None if group is None else str(group)
    return Photo(name, image["id"], root / image["file_name"], size, group)


def _add(
    photo: Photo, annotation: dict[str, Any], class_ids: dict[str, int], known: set[str]
) -> None:
    """Add the part of an annotation, or what is wrong with it; `known` are the ids before."""
    if annotation.get("iscrowd", 0):
        return
    try:
        number = id_of(annotation["id"])
        if number is None or number in known:
            raise SAVError("another annotation has this id" if number else "its id is none")
        known.add(number)
        category = id_of(annotation["category_id"])
        if category not in class_ids:
            raise SAVError(f"there is no category {annotation['category_id']}")
        code = run_length_code(annotation["segmentation"], *photo.size)
        vehicle = vehicle_number(annotation.get("vehicle_id"))
        photo.parts.append(Part.of(annotation["id"], class_ids[category], vehicle or 0, code))
    except SAVError as error:
        photo.problems.append(f"annotation {annotation['id']}: {error}")
