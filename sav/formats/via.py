"""VGG Image Annotator's JSON: projects and exported annotations of its versions 1 and 2."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.annotation_format import AnnotationFormat, Entry, Holds, LabelledPhoto
from sav.formats.folders import any_is, files_of
from sav.formats.geometry import ellipse, number, rectangle
from sav.formats.image_names import ImageFolder
from sav.formats.json_files import read_json
from sav.formats.listing import (
    entries_of_files,
    photo_entry,
    said_of_shape,
    shape_of,
    split_named,
)
from sav.formats.outlines import outlines
from sav.formats.records import PartInstance, Shape

_FILE = "via_project.json"
_LOOKED_AT = 20
_LABELS = ("label", "name", "class", "type")
"""Region attributes that are taken for the label, the first of them that there is."""
_SAID = ("vehicle", "instance", "score")


def _records(file: Path) -> dict[str, Any]:
    """What a file says of photos, by keys of its own; nothing where it is not VIA's.

    Raises:
        SAVError: it is broken.
    """
    contents = read_json(file)
    if isinstance(contents, dict) and "_via_img_metadata" in contents:
        contents = contents["_via_img_metadata"]
    records = contents if isinstance(contents, dict) else {}
    first = itertools.islice(records.values(), _LOOKED_AT)
    return records if any(map(_is_record, first)) else {}


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and {"filename", "regions"} <= record.keys()


def _detect(data: Path) -> bool:
    return any_is(files_of(data, {".json"}), _records)


def _find(data: Path, images: Path | None) -> list[Entry]:
    return entries_of_files(data, images, _records, _entries)


def _entries(records: Mapping[str, Any], folder: ImageFolder, file: Path) -> Iterator[Entry]:
    for key, record in records.items():
        known = record if isinstance(record, dict) else {}
        about = known.get("file_attributes")
        split = split_named(about.get("split") if isinstance(about, dict) else None)
        where, name, regions = f"record {key!r}", known.get("filename"), known.get("regions")
        yield photo_entry(where, name, folder, regions, file, split=split)


def _read(entry: Entry, height: int, width: int) -> Iterator[Shape]:
    del height, width  # VIA does not write them down
    regions = entry.content
    if isinstance(regions, dict):  # version 1
        regions = list(regions.values())
    if not isinstance(regions, list):
        raise SAVError("it has no list 'regions'")
    for i, region in enumerate(regions):
        yield _shape(f"region {i} of {entry.name}", region if isinstance(region, dict) else {})


def _shape(where: str, region: Mapping[str, Any]) -> Shape:
    said, drawn = region.get("region_attributes"), region.get("shape_attributes")
    said = said if isinstance(said, dict) else {}

    def draw() -> Any:
        kind = drawn.get("name") if isinstance(drawn, dict) else None
        if kind not in _SEGMENTATIONS:
            raise SAVError(f"a shape of type {str(kind)[:40]!r} has no area that can be read")
        return _SEGMENTATIONS[kind](drawn)

    try:
        label = _label(said)
    except SAVError as error:
        return Shape(where, None, error=str(error))
    return shape_of(where, label, draw, said_of_shape(said))


def _label(said: Mapping[str, Any]) -> Any:
    """The label of a region: its attribute of a usual name, or the only one.

    Raises:
        SAVError: there is none, or it is not clear which one it is.
    """
    others = {name: _chosen(value) for name, value in said.items() if name not in _SAID}
    usual = [name for name in _LABELS if name in others]
    if not others:
        raise SAVError("it has no label")
    if not usual and len(others) > 1:
        names = ", ".join(sorted(others))
        raise SAVError(f"which of its attributes is the label, {names}? name it 'label' in VIA")
    return others[usual[0] if usual else next(iter(others))]


def _chosen(value: Any) -> Any:
    """The option that is ticked; several are no label of a part."""
    if not isinstance(value, dict):
        return value
    ticked = [option for option, on in value.items() if on]
    return ticked[0] if len(ticked) == 1 else None


def _polygon(drawn: Mapping[str, Any]) -> list[float]:
    x, y = drawn["all_points_x"], drawn["all_points_y"]
    if len(x) != len(y):
        raise SAVError(f"a polygon has {len(x)} x, but {len(y)} y")
    pairs = zip(x, y, strict=True)
    return [number(value, "coordinate") for pair in pairs for value in pair]


def _numbers(drawn: Mapping[str, Any], *names: str) -> list[float]:
    return [number(drawn.get(name), name) for name in names]


def _rectangle(drawn: Mapping[str, Any]) -> list[float]:
    x, y, width, height = _numbers(drawn, "x", "y", "width", "height")
    return rectangle(x, y, x + width, y + height)


def _circle(drawn: Mapping[str, Any]) -> list[float]:
    x, y, radius = _numbers(drawn, "cx", "cy", "r")
    return ellipse(x, y, radius, radius)


def _ellipse(drawn: Mapping[str, Any]) -> list[float]:
    turn = number(drawn.get("theta", 0), "theta")  # in radians; older versions have none
    return ellipse(*_numbers(drawn, "cx", "cy", "rx", "ry"), math.degrees(turn))


_SEGMENTATIONS: dict[Any, Callable[[Mapping[str, Any]], list[float]]] = {
    "polygon": _polygon,
    "rect": _rectangle,
    "circle": _circle,
    "ellipse": _ellipse,
}


def _write(photos: Iterator[LabelledPhoto], classes: Sequence[str], out: Path) -> None:
    records = {}
    for photo in photos:
        size = photo.image.stat().st_size
        records[f"{photo.name}{size}"] = {
            "filename": photo.name,
            "size": size,
            "regions": [
                _region(part, polygon, i)
                for i, part in enumerate(photo.instances, start=1)
                for polygon in outlines(part.mask)
            ],
            "file_attributes": {"split": photo.split},
        }
    options = dict.fromkeys(classes, "")
    label = {"type": "dropdown", "description": "", "options": options, "default_options": {}}
    text = {"type": "text", "description": "", "default_value": ""}
    project = {
        "_via_settings": _settings(),
        "_via_img_metadata": records,
        "_via_attributes": {
            "region": {"label": label, **dict.fromkeys(_SAID, text)},
            "file": {"split": text},
        },
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": list(records),
    }
    write_atomic(out / _FILE, json.dumps(project, allow_nan=False) + "\n")


def _settings() -> dict[str, Any]:
    """Those without which VIA does not open a project."""
    shown = {"region_label": "label", "region_color": "label", "region_label_font": "10px Sans"}
    return {
        "ui": {
            "annotation_editor_height": 25,
            "annotation_editor_fontsize": 0.8,
            "leftsidebar_width": 18,
            "image_grid": {
                "img_height": 80,
                "rshape_fill": "none",
                "rshape_fill_opacity": 0.3,
                "rshape_stroke": "yellow",
                "rshape_stroke_width": 2,
                "show_region_shape": True,
                "show_image_policy": "all",
            },
            "image": {**shown, "on_image_annotation_editor_placement": "NEAR_REGION"},
        },
        "core": {"buffer_size": 18, "filepath": {}, "default_filepath": ""},
        "project": {"name": "sav"},
    }


def _region(part: PartInstance, polygon: np.ndarray, instance: int) -> dict[str, Any]:
    x, y = polygon.T.round(2).tolist()
    said = {"label": part.label, "instance": str(instance)}
    if part.vehicle_id is not None:
        said["vehicle"] = str(part.vehicle_id)
    if part.score is not None:
        said["score"] = f"{part.score:.4f}"
    shape = {"name": "polygon", "all_points_x": x, "all_points_y": y}
    return {"shape_attributes": shape, "region_attributes": said}


VIA = AnnotationFormat(
    name="via",
    title="VGG Image Annotator",
    layout="a project or exported annotations as .json, photos beside or in a folder below",
    holds=Holds(),
    detect=_detect,
    find=_find,
    read=_read,
    write=_write,
    splits_apart=False,
)
