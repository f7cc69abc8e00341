"""Where a YOLO data set has its photos, its label files and the names of its classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sav.errors import SAVError
from sav.formats.folders import files_below
from sav.formats.image_names import ImageFolder, PhotoStems, path_stem
from sav.formats.images import IMAGE_SUFFIXES
from sav.formats.splits import SPLITS, split_of
from sav.formats.yaml_files import parse_yaml

NAME_FILES = ("classes.txt", "obj.names", "names.txt", "labels.txt")
"""One name a line, beside the labels or above them."""
_LARGEST_FILE = 2**24
_LISTED = frozenset({".txt", *IMAGE_SUFFIXES})
"""What a YAML file or a list may name, beside folders."""


@dataclass(frozen=True)
class Pair:
    """A photo and its label file; one of them may be missing, not both.

    Attributes:
        root: the folder of the photos of its split.
        photo: its file.
        label: the text file.
        name: of the photo, relative to the root.
        split: "train", "valid" or "test".
        problem: why the photo cannot be used, where that is known.
    """

    root: Path
    photo: Path | None
    label: Path | None
    name: str
    split: str
    problem: str = ""


def read_text(file: Path) -> str:
    """The text of a small file.

    Raises:
        SAVError: it cannot be read, is too large or not in UTF-8; the message leaves out its path.
    """
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise SAVError(f"it has more than {_LARGEST_FILE >> 20} MiB")
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SAVError(f"it is not UTF-8 text: {error}") from error
    except OSError as error:
        raise SAVError(f"it cannot be read: {error.strerror}") from error


def read_yaml(file: Path) -> dict[str, Any]:
    """The contents of a data set's YAML file; empty if it is that of something else.

    Raises:
        SAVError: it cannot be read.
    """
    try:
        text = read_text(file)
    except SAVError as error:
        raise SAVError(f"{file}: {error}") from error
    contents = parse_yaml(text, file)
    return contents if isinstance(contents, dict) and "names" in contents else {}


def find_yaml(data: Path) -> Path | None:
    """The YAML file of a data set; None if there is none.

    Raises:
        SAVError: there are several, or "data.yaml" cannot be read.
    """
    if data.is_file():
        return data
    for pattern in ("*.y*ml", "*/*.y*ml"):
        files = [file for file in sorted(data.glob(pattern)) if _describes(file)]
        files = [file for file in files if file.stem == "data"] or files
        if len(files) > 1:
            both = " and ".join(file.relative_to(data).as_posix() for file in files[:2])
            raise SAVError(f"{data}: {both} both describe a data set; name one instead of {data}")
        if files:
            return files[0]
    return None


def _describes(file: Path) -> bool:
    try:
        return bool(read_yaml(file))
    except SAVError:
        if file.stem == "data":
            raise
        return False


def class_names(data: Path, file: Path | None) -> dict[int, str]:
    """The name of each class number; empty where no file has names.

    Args:
        data: the folder of the data set.
        file: its YAML file, if any.

    Raises:
        SAVError: the names are no list or mapping of texts, or as many as the file says.
    """
    if file is not None:
        return _names_of(read_yaml(file), file)
    for place in (data, data.parent if data.name == "labels" else data / "labels"):
        for name in NAME_FILES:
            if (place / name).is_file():
                lines = _lines(place / name)
                return {i: line.strip() for i, line in enumerate(lines) if line.strip()}
    return {}


def _lines(file: Path) -> list[str]:
    try:
        return read_text(file).splitlines()
    except SAVError as error:
        raise SAVError(f"{file}: {error}") from error


def _names_of(contents: dict[str, Any], file: Path) -> dict[int, str]:
    names = contents.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise SAVError(f"{file}: its names are neither a list nor a mapping")
    found: dict[int, str] = {}
    for key, name in names.items():
        number = str(key).strip()
        if not number.isdecimal() or len(number) > 9 or type(name) not in (str, int):
            raise SAVError(f"{file}: names: '{number:.40}' has no number or no text as a name")
        # In Ultralytics' own carparts-seg.yaml one name ends with a comma.
        found[int(number)] = str(name).strip().rstrip(",")
    count = contents.get("nc")
    if type(count) is int and count != len(found):
        raise SAVError(f"{file}: it has {len(found)} names, but says nc: {count}")
    return found


def find_pairs(data: Path, file: Path | None, images: Path | None) -> Iterator[Pair]:
    """Photos and label files that belong together.

    Args:
        data: the folder of the data set.
        file: its YAML file, if any.
        images: the folder of its photos, where it is elsewhere.

    Raises:
        SAVError: a file cannot be read.
    """
    if images is not None:
        yield from _by_label(data, ImageFolder(images))
        return
    listed = list(_of_yaml(data, file)) if file is not None else []
    yield from listed or _of_folders(data)


def _of_yaml(data: Path, file: Path) -> Iterator[Pair]:
    """What the YAML file names as train, val and test: folders, or lists of photos."""
    contents = read_yaml(file)
    stated = contents.get("path")
    root = (_place(data, stated) or data).resolve()
    seen: set[Path] = set()
    for key, split in SPLITS.items():
        values = contents.get(key) or []
        for value in values if isinstance(values, list) else [values]:
            place = _place(root, value)
            if place is None:
                # Roboflow names a test folder whether there is one or not.
                shown = value if isinstance(value, str) else "something that is no text"
                yield Pair(root, None, None, f"{key}: {shown}", split)
            elif place not in seen:
                seen.add(place)
                yield from (_of_list if place.is_file() else _of_folder)(place, root, split)


def _place(root: Path, value: Any) -> Path | None:
    """A folder or a list; Roboflow's files say "../train/images" for what is beside them."""
    if not isinstance(value, str):
        return None
    for text in (value, value.removeprefix("../")):
        try:
            place = (root / text).resolve()
            if place.is_dir() or (place.is_file() and place.suffix.lower() in _LISTED):
                return place
        except (OSError, ValueError):  # a name that no file can have
            return None
    return None


def _of_list(file: Path, root: Path, split: str) -> Iterator[Pair]:
    folder, beside = ImageFolder(root), ImageFolder(file.parent)
    for line in filter(None, map(str.strip, _lines(file))):
        photo = beside.at(line) or folder.find(line) or _place(root, line)
        if photo is None:
            yield Pair(root, None, None, line, split)
            continue
        base = root if photo.is_relative_to(root) else photo.parent
        label = label_path(photo, root)
        name = photo.relative_to(base).as_posix()
        yield Pair(base, photo, label if label.is_file() else None, name, split)


def _of_folder(folder: Path, top: Path, split: str | None = None) -> Iterator[Pair]:
    """The pairs of a folder of photos; their splits by the names of folders where not said."""
    wanted: dict[Path, list[Path]] = defaultdict(list)
    for photo in ImageFolder(folder).photos:
        wanted[label_path(photo, top)].append(photo)
    for label, photos in wanted.items():
        problem = f"{label.name} is the label file of {len(photos)} photos; rename them and it"
        for photo in photos:
            name = photo.relative_to(folder).as_posix()
            own, label_file = split or _split_of(photo, top), label if label.is_file() else None
            yield Pair(folder, photo, label_file, name, own, problem if len(photos) > 1 else "")
    for label in _label_files(label_path(folder / "x", top).parent):
        if label not in wanted and is_label(label):
            yield Pair(folder, None, label, label.name, split or _split_of(label, top))


def _of_folders(data: Path) -> Iterator[Pair]:
    """Each folder "images" with a folder "labels" beside it; else the photos beside labels."""
    data = data.resolve()
    photos = files_below(data, IMAGE_SUFFIXES)
    above = {place for path in photos for place in path.parents if place.is_relative_to(data)}
    named = sorted(path for path in above if path.name == "images")
    for folder in [p for p in named if (p.parent / "labels").is_dir()] or [data]:
        yield from _of_folder(folder, data)


def _split_of(path: Path, top: Path) -> str:
    return split_of(path.relative_to(top).parts[-2::-1])


def _by_label(data: Path, folder: ImageFolder) -> Iterator[Pair]:
    """Label files whose photos are elsewhere, such as predictions."""
    labels = data / "labels" if (data / "labels").is_dir() else data
    stems, root = PhotoStems(folder.photos, folder.root), folder.root
    used = set()
    for label in _label_files(labels):
        photo = stems.find(path_stem(label, labels))
        used.add(photo)
        name = f"{label.stem}.jpg" if photo is None else photo.relative_to(root).as_posix()
        if photo is not None or is_label(label):
            yield Pair(root, photo, label, name, _split_of(label, data))
    for photo in folder.photos:
        if photo not in used:
            yield Pair(root, photo, None, photo.relative_to(root).as_posix(), "train")


def label_path(photo: Path, top: Path) -> Path:
    """Where the label file of a photo is: the last folder "images" is "labels" there.

    Args:
        photo: its file.
        top: folders above it keep their names.
    """
    parts = list(photo.parts)
    first = len(top.parts) if photo.is_relative_to(top) else 0
    for i in range(len(parts) - 2, first - 1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _label_files(folder: Path) -> list[Path]:
    return files_below(folder, {".txt"}) if folder.is_dir() else []


def has_labels(data: Path) -> bool:
    """Whether a folder has photos with label files, by the first line of one."""
    if not data.is_dir():
        return False
    folders = [path / "labels" for path in (data, *sorted(data.iterdir()))]
    files = [file for folder in folders for file in _label_files(folder)]
    if not files:
        photos = {path.with_suffix("") for path in files_below(data, IMAGE_SUFFIXES)}
        files = [file for file in _label_files(data) if file.with_suffix("") in photos]
    return any(is_label(file) for file in files[:20])


def is_label(file: Path) -> bool:
    """Whether a text file looks like labels, by its first line."""
    with file.open("rb") as stream:
        words = stream.readline(2**16).split()
    try:
        numbers = [float(word) for word in words[:5]]
    except ValueError:
        return False
    return len(words) > 4 and numbers[0] >= 0 and numbers[0].is_integer()
