"""What ``sav predict --format json`` writes, one file a photo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sav.errors import SAVError
from sav.formats.annotation_format import AnnotationFormat, Entry, Holds
from sav.formats.folders import any_is, files_below
from sav.formats.image_names import ImageFolder, existing
from sav.formats.json_files import read_json, read_record
from sav.formats.records import Shape, check_size


def _detect(data: Path) -> bool:
    return any_is(_files(data), _is_prediction)


def _files(data: Path) -> list[Path]:
    if data.is_dir():
        return files_below(data, {".json"})
    return [data] if data.suffix.lower() == ".json" else []


def _is_prediction(file: Path) -> bool:
    return _has_parts(read_json(file))


def _has_parts(contents: Any) -> bool:
    return isinstance(contents, dict) and {"ontology", "parts", "file"} <= contents.keys()


def _find(data: Path, images: Path | None) -> list[Entry]:
    folder = ImageFolder(images) if images else None
    entries = []
    for file in _files(data):
        blank = Entry(file.name, file.parent, None, file, str(file))
        try:
            contents = read_record(file)
        except SAVError as error:
            entries.append(replace(blank, lost=(str(error),)))
            continue
        if _has_parts(contents):
            entries.append(_with_photo(blank, str(contents["file"]), folder))
    return entries


def _with_photo(blank: Entry, named: str, folder: ImageFolder | None) -> Entry:
    """Photos are where they were when they were predicted, unless their folder is named."""
    image = folder.find(named) if folder else existing(Path(named))
    if image is None:
        return replace(blank, name=named)
    root = folder.root if folder else image.parent
    return replace(blank, name=image.relative_to(root).as_posix(), root=root, image=image)


def _read(entry: Entry, height: int, width: int) -> Iterator[Shape]:
    contents = read_json(entry.content)
    check_size((contents.get("width"), contents.get("height")), width, height, "predicted")
    if not isinstance(contents["parts"], list):
        raise SAVError("its 'parts' are not a list")
    for number, part in enumerate(contents["parts"]):
        if not isinstance(part, dict):
            yield Shape(f"part {number}", None, error="it is not an object")
            continue
        known = {"vehicle": part.get("vehicle_id"), "score": part.get("score")}
        yield Shape(f"part {number}", part.get("name"), part.get("mask"), **known)


PREDICTIONS = AnnotationFormat(
    name="predictions",
    title="predictions of SAV",
    layout="the .json files that 'sav predict' writes",
    holds=Holds(masks=True),
    detect=_detect,
    find=_find,
    read=_read,
)
