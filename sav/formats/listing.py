"""What the formats of annotation tools share: the photos they list, and what they say of shapes."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sav.errors import SAVError
from sav.formats.annotation_format import Entry
from sav.formats.folders import files_of
from sav.formats.image_names import OTHER_NAME, ImageFolder
from sav.formats.records import Shape, reason_of, whole
from sav.formats.splits import SPLITS

_Contents = TypeVar("_Contents")


def split_named(name: Any) -> str:
    """The split that a word of a file names, "train" where it names none."""
    return SPLITS.get(str(name).strip().casefold(), "train")


def photo_entry(
    where: str,
    name: Any,
    images: ImageFolder,
    content: Any,
    source: Path,
    *,
    split: str = "train",
    lost: Sequence[str] = (),
) -> Entry:
    """The entry of a photo that a file names.

    Args:
        where: names the record, if it names no photo.
        name: of the photo, as the file has it.
        images: where to look for it.
        content: see :class:`Entry`.
        source: the annotation file.
        split: see :class:`Entry`.
        lost: see :class:`Entry`.
    """
    if not isinstance(name, str) or not name.strip():
        reason = f"{where}: it names no photo"
        return Entry(where, images.root, None, None, str(source), split, lost=(reason,))
    file = images.find(name)
    found = name if file is None else file.relative_to(images.root).as_posix()
    notes = (OTHER_NAME,) if found != posixpath.normpath(name) else ()
    return Entry(
        found, images.root, file, content, str(source), split, lost=tuple(lost), notes=notes
    )


def entries_of_files(
    data: Path,
    images: Path | None,
    read: Callable[[Path], _Contents],
    entries_of: Callable[[_Contents, ImageFolder, Path], Iterable[Entry]],
) -> list[Entry]:
    """The photos that a JSON file lists, or those of a folder.

    A file that cannot be read becomes an entry: it may have the annotations of some photos.

    Args:
        data: the file or the folder.
        images: the folder of the photos, where the user names it.
        read: what a file has; something false where it is not of the format. Raises SAVError,
            which names the file, where it is broken.
        entries_of: the photos of what is read, of the folder to look for them in, and of the file.

    Raises:
        SAVError: see :func:`listed`.
    """
    entries: list[Entry] = []
    for file in files_of(data, {".json"}):
        try:
            contents = read(file)
        except SAVError as error:
            entries.append(Entry("", file.parent, None, None, "", lost=(str(error),)))
            continue
        if contents:
            folder = ImageFolder(images or (data if data.is_dir() else file.parent))
            entries += entries_of(contents, folder, file)
    return listed(entries, data, images)


def listed(entries: Sequence[Entry], data: Path, images: Path | None) -> list[Entry]:
    """Entries in natural order, of which some have a photo.

    Args:
        entries: of all annotation files.
        data: what they were found in.
        images: the folder of the photos, where the user names it.

    Raises:
        SAVError: there is none of the photos.
    """
    if entries and not any(entry.image for entry in entries):
        place = f"in {images}" if images else "beside it; name their folder with --images"
        raise SAVError(f"{data}: none of its photos is {place}")
    # By length first: train2.jpg comes before train10.jpg.
    return sorted(entries, key=lambda entry: (len(entry.name), entry.name))


def shape_of(
    where: str, label: Any, draw: Callable[[], Any], known: Mapping[str, Any] | None = None
) -> Shape:
    """A shape, or what is wrong with it.

    Args:
        where: see :class:`Shape`.
        label: see :class:`Shape`.
        draw: makes its segmentation of what the file has.
        known: other fields of :class:`Shape`.
    """
    try:
        drawn = draw()
    except KeyError as error:
        return Shape(where, label, error=f"it has no {error}")
    except Exception as error:
        return Shape(where, label, error=reason_of(error))
    holes = ()
    if isinstance(drawn, tuple):
        drawn, holes = drawn
    return Shape(where, label, drawn, holes, **(known or {}))


def said_of_shape(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """The vehicle, instance and score of a shape, see :class:`Shape`.

    Args:
        attributes: what a tool says of it; those of these names count, empty ones do not.
    """
    said = {str(name).strip().casefold(): value for name, value in attributes.items()}
    known = {name: value for name, value in said.items() if value not in (None, "", {}, [])}
    vehicle, instance = whole(known.get("vehicle")), known.get("instance")
    # Some number the instances of a photo, some those of a vehicle.
    key = None if instance is None else (str(vehicle), str(instance))
    return {"vehicle": vehicle, "instance": key, "score": _decimal(known.get("score"))}


def _decimal(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
