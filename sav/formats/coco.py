"""COCO instances files, however tools write them, and part annotations, which are such files."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.annotation_format import AnnotationFormat, Entry, Holds, LabelledPhoto
from sav.formats.coco_lists import annotations_of, category_names, id_of, images_by_id
from sav.formats.folders import files_below, is_folder, portable
from sav.formats.image_names import OTHER_NAME, ImageFolder
from sav.formats.json_files import read_json
from sav.formats.records import Shape, check_size
from sav.formats.splits import split_of

_REQUIRED = {
    "images": {"id", "file_name", "width", "height"},
    "annotations": {"id", "image_id", "category_id", "segmentation"},
    "categories": {"id", "name"},
}
_LISTS = [re.compile(rb'"%s"\s*:\s*\[' % key.encode()) for key in _REQUIRED]
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_HEAD = 4096
_Annotation = tuple[Any, str, dict[str, Any]]
"""Its label, how a problem names it, and what the file says of it."""
_LOOKED_AT = 20


def read_coco(path: Path) -> dict[str, Any]:
    """Read a COCO instances file and check that it has what a loader needs.

    Raises:
        SAVError: the file is missing, broken or no COCO file.
    """
    contents = _read_lists(path)
    for key, fields in _REQUIRED.items():
        for i, entry in enumerate(contents[key]):
            missing = sorted(fields - entry.keys()) if isinstance(entry, dict) else sorted(fields)
            if missing:
                raise SAVError(f"{path}: {key}[{i}]: it has no '{missing[0]}'")
    return contents


def find_in_file(path: Path, images: ImageFolder, split: str = "train") -> list[Entry]:
    """The photos of a COCO file in natural order; a last entry has the annotations of none.

    An image without a size has that of its file. Where annotations belong to no image of the file,
    an image without any may be theirs, and is left out.

    Args:
        path: the file.
        images: where its photos are.
        split: that they belong to.

    Raises:
        SAVError: the file is not usable, or two images, annotations or categories have one id.
    """
    return _find_entries(_read_lists(path), path, images, split)


def _find_entries(
    contents: dict[str, Any], path: Path, images: ImageFolder, split: str
) -> list[Entry]:
    names = category_names(contents["categories"], path)
    listed, lost = images_by_id(contents["images"], path)
    grouped: dict[str, list[_Annotation]] = {number: [] for number in listed}
    orphans = []
    for where, annotation in annotations_of(contents["annotations"], path):
        number = id_of(annotation.get("image_id"))
        if number in grouped:
            label = names.get(id_of(annotation.get("category_id")) or "")
            grouped[number].append((label, where, annotation))
        else:
            orphans.append(f"{where}: there is no image {annotation.get('image_id')}")
    blank = Entry("", images.root, None, None, str(path), split)
    entries = [_entry(blank, image, grouped[number], images) for number, image in listed.items()]
    if orphans:
        reason = f"it has no annotations, and {len(orphans)} of the file have no image"
        entries = [one if one.content[1] else one.without_photo(reason) for one in entries]
    reasons = (*lost, *orphans)
    return [*entries, replace(blank, lost=reasons)] if reasons else entries


def _entry(
    blank: Entry, image: dict[str, Any], own: list[_Annotation], images: ImageFolder
) -> Entry:
    name, group = image["file_name"], image.get("group")
    file = images.find(name)
    found = name if file is None else file.relative_to(images.root).as_posix()
    return replace(
        blank,
        name=found,
        image=file,
        content=((image.get("width"), image.get("height")), own),
        group=None if group is None else str(group),
        notes=(OTHER_NAME,) if found != posixpath.normpath(name) else (),
    )


def _read(entry: Entry, height: int, width: int) -> Iterator[Shape]:
    stated, annotations = entry.content
    check_size(stated, width, height, "annotated")
    for label, where, annotation in annotations:
        yield _shape(f"{where} of {entry.name}", label, annotation)


def _shape(where: str, label: Any, annotation: dict[str, Any]) -> Shape:
    segmentation, error = annotation.get("segmentation"), ""
    if label is None:
        error = f"there is no category {annotation.get('category_id')}"
    elif segmentation in (None, [], {}, [[]]):
        boxed = "a box and no outline" if annotation.get("bbox") else "no segmentation"
        error = f"it has {boxed}"
    known = {"vehicle": _vehicle_of(annotation), "score": annotation.get("score")}
    known["crowd"] = annotation.get("iscrowd") not in (None, 0, "0")
    return Shape(where, label, segmentation, error=error, **known)


def _vehicle_of(annotation: dict[str, Any]) -> Any:
    """Our field, or an attribute of CVAT and Datumaro where it is a number and not a kind."""
    if annotation.get("vehicle_id") is not None or not isinstance(
        annotation.get("attributes"), dict
    ):
        return annotation.get("vehicle_id")
    said = [annotation["attributes"].get(name) for name in ("vehicle_id", "vehicle")]
    return next((one for one in said if (id_of(one) or "").isdecimal()), None)


def _find(data: Path, images: Path | None) -> list[Entry]:
    entries = []
    for file, split in _files(data):
        contents = _read_lists(file)
        root = images or _image_root(contents, file, data)
        entries += _find_entries(contents, file, ImageFolder(root), split)
    return entries


def _read_lists(path: Path) -> dict[str, Any]:
    """A COCO file, of which not more is known than that it has the lists.

    Raises:
        SAVError: the file is missing, broken or no COCO file.
    """
    contents = read_json(path)
    if isinstance(contents, list):
        raise SAVError(
            f"{path}: a list, as COCO results are, which has neither photos nor classes; put it "
            "into the 'annotations' of a copy of its instances file"
        )
    for key in _REQUIRED:
        if not isinstance(contents, dict) or not isinstance(contents.get(key), list):
            raise SAVError(f"{path}: not a COCO instances file: it has no list '{key}'")
    if any("segments_info" in a for a in contents["annotations"][:1] if isinstance(a, dict)):
        raise SAVError(f"{path}: panoptic annotations are not read; export instances")
    return contents


def _image_root(contents: dict[str, Any], file: Path, data: Path) -> Path:
    """The folder of a file's photos: what part annotations say, or one that has one of them."""
    stated = info_of(contents, file).get("image_root")
    if stated is not None:
        return file.parent / stated
    images = [image for image in contents["images"] if isinstance(image, dict)]
    names = [n for n in (image.get("file_name") for image in images) if isinstance(n, str)]
    here, above, word = file.parent, file.parent.parent, file.stem.split("_")[-1]
    inside = [above / "images" / word, above / word, above / "images", data]
    for place in map(ImageFolder, filter(Path.is_dir, [here, here / "images", *inside])):
        if any(place.at(name) for name in names) or any(map(place.find, names[:_LOOKED_AT])):
            return place.root
    absolute = [name for name in names if PurePosixPath(name).is_absolute()]
    if absolute:
        folder = PurePosixPath(os.path.commonpath([PurePosixPath(n).parent for n in absolute]))
        there = f": --images {folder}" if is_folder(Path(folder)) else ""
        raise SAVError(
            f"{file}: none of its photos is beside it, and their names are absolute; name the "
            f"folder that they are in with --images{there}"
        )
    raise SAVError(f"{file}: none of its photos is beside it; name their folder with --images")


def info_of(contents: dict[str, Any], path: Path) -> dict[str, str]:
    """What a COCO file says of itself: "ontology" and "image_root", where it does.

    Raises:
        SAVError: one of them is no text.
    """
    info = contents.get("info")
    known = info if isinstance(info, dict) else {}
    stated = {key: known[key] for key in ("ontology", "image_root") if known.get(key) is not None}
    for key, value in stated.items():
        if not isinstance(value, str) or "\0" in value:
            raise SAVError(f"{path}: its info has an '{key}' that is no text")
    return stated


def _files(data: Path) -> list[tuple[Path, str]]:
    """The COCO files of a folder and the folders in it, with their splits."""
    if not data.is_dir():
        return [(data, "train")]
    files = [path for path in files_below(data, {".json"}) if _is_coco(path)]
    return [(path, _split(path, alone=len(files) == 1)) for path in files]


def _split(path: Path, *, alone: bool) -> str:
    if alone:
        return "train"
    return split_of([*path.stem.split("_")[::-1], path.parent.name])


def _is_coco(path: Path) -> bool:
    """By its name, or by two of its lists: one that is cut off has no third."""
    if path.name.startswith("report_"):
        return False
    if path.name.startswith("instances_") or path.name.endswith(".coco.json"):
        return True
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            text = b"" if b'"shapes"' in head else head + stream.read()
    except OSError:
        return False
    if text[:2] in _UTF_16:
        text = text.replace(b"\0", b"")
    return sum(list_.search(text) is not None for list_ in _LISTS) > 1


def _detect(data: Path) -> bool:
    return bool(_files(data)) if data.is_dir() else _is_coco(data)


def _write(photos: Iterator[LabelledPhoto], classes: Sequence[str], out: Path) -> None:
    numbers = {name: i for i, name in enumerate(classes, start=1)}
    header = {"categories": [{"id": i, "name": name} for name, i in numbers.items()]}
    splits: dict[str, dict[str, Any]] = {}
    roots: dict[str, set[Path]] = defaultdict(set)
    for photo in photos:
        roots[photo.split].add(photo.root)
        contents = splits.setdefault(photo.split, {"images": [], "annotations": []})
        image = {"file_name": photo.name, "width": photo.width, "height": photo.height}
        contents["images"].append({"id": len(contents["images"]) + 1, **image})
        for part in photo.instances:
            number = len(contents["annotations"]) + 1
            ids = {"id": number, "image_id": len(contents["images"])}
            annotation = {**ids, **part.to_annotation(numbers[part.label])}
            if part.score is not None:
                annotation["score"] = part.score
            contents["annotations"].append(annotation)
    for split, contents in splits.items():
        root = roots[split]
        info = {} if len(root) > 1 else {"info": {"image_root": portable(*root, out)}}
        text = json.dumps({**info, **header, **contents}, allow_nan=False) + "\n"
        write_atomic(out / f"instances_{split}.json", text)


COCO = AnnotationFormat(
    name="coco",
    title="COCO instances",
    layout="instances_<split>.json or _annotations.coco.json, photos beside or in images/",
    holds=Holds(masks=True),
    detect=_detect,
    find=_find,
    read=_read,
    write=_write,
    files_by_stem=False,
)
