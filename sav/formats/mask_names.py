"""Which values or colours of a label map are which class: the files that say so, and palettes."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sav.errors import SAVError
from sav.formats.json_files import unique_keys
from sav.formats.yaml_files import parse_yaml

NAME_FILES = (
    *("labelmap.txt", "label_map.txt", "label_colors.txt", "class_names.txt", "classes.txt"),
    *("labels.txt", "names.txt", "_classes.csv", "id2label.json"),
    *(
        f"{stem}{suffix}"
        for stem in ("labelmap", "label_map", "classes", "labels", "names", "data")
        for suffix in (".json", ".yaml", ".yml")
    ),
)
"""In the order in which they are looked for, in the folder of the masks and in those above it."""

BACKGROUND = frozenset(
    {"background", "_background_", "__background__", "bg", "unlabeled", "unlabelled", "void"}
    | {"ignore", "ignored", "_ignore_", "__ignore__"}
)
"""Names, in lower case, of what is no part."""

_LARGEST_FILE = 2**20
_RGB = r"(?P<r>\d{1,3})[\s,]+(?P<g>\d{1,3})[\s,]+(?P<b>\d{1,3})"
_LINES = (
    re.compile(rf"^(?P<name>[^:]+):\s*{_RGB}\s*(?::.*)?$"),  # CVAT, Datumaro
    re.compile(rf"^{_RGB}[\s,]+(?P<name>.*\S)$"),  # CamVid
    re.compile(rf"^(?P<name>.*?\S)[\s,]+{_RGB}$"),
)
_UNCOLORED = re.compile(r"^[^:]+:\s*:")
"""A line of a labelmap.txt without a colour: Datumaro means the palette of Pascal VOC then."""


@dataclass(frozen=True)
class MaskNames:
    """What the pixels of a label map are called; None is the background.

    Attributes:
        source: the file that says so; "" where none does.
        values: name of each index.
        colors: name of each colour, red * 65536 + green * 256 + blue.
    """

    source: str = ""
    values: Mapping[int, str | None] = field(default_factory=dict)
    colors: Mapping[int, str | None] = field(default_factory=dict)


def find_names(folder: Path, top: Path) -> MaskNames:
    """Read the file with names that is nearest to a folder of masks.

    Args:
        folder: of the masks.
        top: the last folder to look in.

    Raises:
        SAVError: the file cannot be understood.
    """
    places = [place for place in (folder, *folder.parents) if place.is_relative_to(top)]
    for place in places:
        for name in NAME_FILES:
            if (place / name).is_file():
                return read_names(place / name)
    return MaskNames()


def read_names(file: Path) -> MaskNames:
    """Read a file with names.

    Raises:
        SAVError: it cannot be read, or says nothing that is understood.
    """
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise SAVError(f"{file}: too large for a list of names")
        text = file.read_text("utf-8-sig")
        if file.suffix == ".csv":
            rows = [row for row in csv.reader(text.splitlines()) if len(row) == 2]
            found = {row[1].strip(): int(row[0]) for row in rows if row[0].strip().isdecimal()}
            return _of_mapping(found, str(file))
        if file.suffix == ".txt":
            return _of_lines([line.strip() for line in text.splitlines()], str(file))
        if file.suffix == ".json":
            return _of_contents(json.loads(text, object_pairs_hook=unique_keys), str(file))
        return _of_contents(parse_yaml(text, file), str(file))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise SAVError(f"{file}: cannot be read: {error}") from error


def _of_lines(lines: Sequence[str], source: str) -> MaskNames:
    """Names, one a line, with their colours or in the order of their values."""
    lines = [line for line in lines if line and not line.startswith("#")]
    matches = [next((m for p in _LINES if (m := p.match(line))), None) for line in lines]
    if lines and all(_UNCOLORED.match(line) for line in lines):
        names = [line.split(":")[0].strip() for line in lines]
        palette = dict(zip(names, voc_palette(len(names)).tolist(), strict=True))
        return MaskNames(source, dict(enumerate(map(_part, names))), _by_color(palette, source))
    if not any(matches):
        return _of_list(lines, source)
    if None in matches:
        line = lines[matches.index(None)]
        raise SAVError(f"{source}: the line {line!r} has no colour, but others have one")
    colors = {m["name"].strip(): [int(m[channel]) for channel in "rgb"] for m in matches}
    if len(colors) < len(matches):
        raise SAVError(f"{source}: two of its lines have the same name")
    return MaskNames(source, dict(enumerate(map(_part, colors))), _by_color(colors, source))


def _of_list(names: Sequence[Any], source: str) -> MaskNames:
    """Names in the order of values: from 0 where a background is the first, else from 1."""
    if not names or not all(isinstance(name, str) for name in names):
        raise SAVError(f"{source}: it has no list of names")
    names = [name for name in names if name.lower() not in ("__ignore__", "_ignore_")]
    first = 0 if names and _part(names[0]) is None else 1
    return MaskNames(source, {i: _part(name) for i, name in enumerate(names, start=first)})


def _of_contents(contents: Any, source: str) -> MaskNames:
    for key in ("names", "classes", "labels", "id2label"):
        if isinstance(contents, dict) and isinstance(contents.get(key), list | dict):
            contents = contents[key]
    if isinstance(contents, list):
        return _of_list(contents, source)
    if isinstance(contents, dict) and contents:
        return _of_mapping(contents, source)
    raise SAVError(f"{source}: it has no names of classes")


def _of_mapping(contents: Mapping[Any, Any], source: str) -> MaskNames:
    """Of values to names, names to values, or names to colours."""
    if all(_is_number(key) and isinstance(name, str) for key, name in contents.items()):
        return MaskNames(source, {int(key): _part(name) for key, name in contents.items()})
    if all(isinstance(name, str) and _is_number(v) for name, v in contents.items()):
        if len({int(value) for value in contents.values()}) != len(contents):
            raise SAVError(f"{source}: two names have the same value")
        return MaskNames(source, {int(v): _part(name) for name, v in contents.items()})
    if all(isinstance(name, str) and _is_color(v) for name, v in contents.items()):
        return MaskNames(source, colors=_by_color(contents, source))
    raise SAVError(f"{source}: it is no mapping of names to values or to colours [r, g, b]")


def _is_number(value: Any) -> bool:
    return (type(value) is int or (isinstance(value, str) and value.isdecimal())) and (
        0 <= int(value) < 2**31
    )


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(v) is int for v in value)


def _by_color(colors: Mapping[str, Sequence[int]], source: str) -> dict[int, str | None]:
    found: dict[int, str | None] = {}
    for name, color in colors.items():
        if not all(0 <= value < 256 for value in color):
            raise SAVError(f"{source}: the colour of '{name}' is not three numbers of 0 to 255")
        packed = int(pack_colors(np.array(color)))
        if packed in found:
            raise SAVError(f"{source}: '{name}' and '{found[packed]}' have the same colour")
        found[packed] = _part(name)
    return found


def _part(name: str) -> str | None:
    return None if name.lower() in BACKGROUND else name.strip()


def pack_colors(colors: np.ndarray) -> np.ndarray:
    """Colours (..., 3) as one number each, (...) int32."""
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    return (red << 16) | (green << 8) | blue


def voc_palette(count: int) -> np.ndarray:
    """Colours of Pascal VOC, the first of them black: (count, 3) uint8.

    The bits of a number are dealt out to the three channels, the lowest to the highest bits.
    """
    numbers = np.arange(count)
    palette = np.zeros((count, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (((numbers >> (3 * bit + channel)) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return palette


def labelmap_text(names: Iterable[str]) -> str:
    """A labelmap.txt as CVAT and Datumaro have it, with the background first.

    Raises:
        SAVError: a name would be read as another one, or as that of the background.
    """
    names = ["background", *names]
    rows = zip(names, voc_palette(len(names)).tolist(), strict=True)
    lines = [f"{name}:{red},{green},{blue}::" for name, (red, green, blue) in rows]
    for name, line in zip(names[1:], lines[1:], strict=True):
        read = _LINES[0].match(line) if line.splitlines() == [line] and line[0] != "#" else None
        if read is None or _part(read["name"]) != name:
            raise SAVError(
                f"label {name!a}: a label map cannot have it; give it another name by "
                f"--rename {name!a}=NAME"
            )
    return "\n".join(["# label:color_rgb:parts:actions", *lines]) + "\n"
