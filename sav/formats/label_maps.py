"""Label maps: a picture a photo, in which each pixel has the value or the colour of its class."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.annotation_format import AnnotationFormat, Entry, Holds, LabelledPhoto
from sav.formats.folders import files_below
from sav.formats.image_names import ImageFolder, PhotoStems, path_stem
from sav.formats.index_mask import shapes_of_labels
from sav.formats.mask_names import MaskNames, find_names, labelmap_text, voc_palette
from sav.formats.mask_pixels import label_pixels, objects_of, read_pixels
from sav.formats.painting import topmost
from sav.formats.records import Shape
from sav.formats.splits import SPLITS, split_of

_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
"""Lossless ones: a JPEG's values are no classes."""
_CLASSES, _OBJECTS = "SegmentationClass", "SegmentationObject"
_MASK_FOLDERS = frozenset(
    {"segmentationclass", "masks", "mask", "annotations", "annotations_png", "ann_dir", "seg"}
    | {"segmentation", "segmentations", "labels", "label", "gt"}
)
_PHOTO_FOLDERS = ("jpegimages", "images", "image", "img_dir", "img", "imgs", "photos")
_ENDING = "_mask"
"""Of a mask that lies beside its photo, or that SAV predicted."""
_MOST_IN_BYTE = 254
"""255 is what Pascal VOC has for pixels about which nothing is said."""


@dataclass(frozen=True)
class _Masks:
    """Of one photo: the label map, the map of objects, and what the labels are called."""

    file: Path
    objects: Path | None
    names: MaskNames


def _detect(data: Path) -> bool:
    return bool(_folders(data) or _endings(data))


def _folders(data: Path) -> list[Path]:
    """The folders of label maps in a folder, or it itself; of nested ones the outermost."""
    if not data.is_dir():
        return []
    # A data set may be called "masks", and have photos and masks in folders of it.
    alone = _is_of_masks(data)
    found = set()
    for file in files_below(data, _SUFFIXES):
        above = [path for path in file.parents if path.is_relative_to(data)]
        named = [path for path in above if path.name.lower() in _MASK_FOLDERS]
        found.update([path for path in named if path != data or alone][-1:])
        found.update(path for path in above if path.name == _CLASSES)
    classes = [path for path in found if path.name == _CLASSES]
    return sorted(classes or found)


def _is_of_masks(folder: Path) -> bool:
    """Whether it is named as folders of label maps are, and has none of photos in it."""
    if folder.name.lower() not in _MASK_FOLDERS:
        return False
    return not any(p.is_dir() and p.name.lower() in _PHOTO_FOLDERS for p in folder.iterdir())


def _masks_in(folder: Path) -> list[Path]:
    """Label maps, without the coloured copies that some tools put beside them."""
    files = set(files_below(folder, _SUFFIXES))
    return sorted(files - {p.with_name(f"{p.stem}_color{p.suffix}") for p in files})


def _endings(data: Path) -> list[Path]:
    """Label maps that a folder has among photos."""
    files = files_below(data, _SUFFIXES) if data.is_dir() else []
    return [path for path in files if path.stem.endswith(_ENDING)]


def _find(data: Path, images: Path | None) -> list[Entry]:
    if data.is_file():
        raise SAVError(f"{data}: name the folder of the masks, not one of them")
    top = data.parent if _is_of_masks(data) else data
    folders = _folders(data)
    if not folders and (masks := _endings(data)):
        return _pair(masks, data, ImageFolder(images or data), top, {})
    entries = []
    for folder in folders or [data]:
        photos = ImageFolder(images or _beside(folder, top))
        entries += _pair(_masks_in(folder), folder, photos, top, _lists(folder.parent))
    return entries


def _beside(folder: Path, top: Path) -> Path:
    """The folder of the photos that belongs to a folder of masks."""
    for place in folder.parents:
        if not place.is_relative_to(top):
            break
        near = {path.name.lower(): path for path in place.iterdir() if path.is_dir()}
        for name in _PHOTO_FOLDERS:
            if name in near:
                return near[name]
    raise SAVError(
        f"{folder}: there is no folder of photos beside it, such as images; name it with --images"
    )


def _lists(folder: Path) -> dict[str, str]:
    """The split of each photo that is listed in ImageSets/Segmentation."""
    # Files whose name says no split, such as trainval.txt, come last.
    files = sorted(
        (folder / "ImageSets" / "Segmentation").glob("*.txt"),
        key=lambda file: (file.stem.lower() not in SPLITS, file.name),
    )
    found: dict[str, str] = {}
    for file in files:
        for line in file.read_text("utf-8", errors="replace").splitlines():
            found.setdefault(line.strip(), split_of([file.stem, folder.name]))
    return found


def _pair(
    masks: Sequence[Path], folder: Path, photos: ImageFolder, top: Path, lists: dict[str, str]
) -> list[Entry]:
    """Label maps and photos with the same path in their folders, but for its suffix."""
    own = set(masks)
    files = [path for path in photos.photos if path not in own]
    stems = PhotoStems(files, photos.root)
    names = {place: find_names(place, top) for place in {mask.parent for mask in masks}}
    above = "" if folder == top else folder.parent.relative_to(top).as_posix()
    entries, used = [], set()
    for mask in masks:
        stem = path_stem(mask, folder)
        photo = stems.find(stem, above) or stems.find(stem.removesuffix(_ENDING), above)
        used.add(photo)
        name = f"{stem}.jpg" if photo is None else photo.relative_to(photos.root).as_posix()
        objects = folder.parent / _OBJECTS / mask.relative_to(folder)
        content = _Masks(mask, objects if objects.is_file() else None, names[mask.parent])
        split = lists.get(stem) or split_of(mask.relative_to(top).parts[-2::-1])
        entries.append(Entry(name, photos.root, photo, content, str(mask), split))
    missing = [path for path in files if path not in used]
    if lists:  # They say which photos are meant to have a mask; Pascal VOC has many without.
        missing = [path for path in missing if path_stem(path, photos.root) in lists]
    return entries + [_unlabelled(path, photos.root) for path in missing]


def _unlabelled(path: Path, root: Path) -> Entry:
    inside = path.relative_to(root)
    name, split = inside.as_posix(), split_of(inside.parts[-2::-1])
    return Entry(name, root, None, None, name, split, lost=("the image has no mask",))


def _read(entry: Entry, height: int, width: int) -> Iterator[Shape]:
    content: _Masks = entry.content
    pixels = read_pixels(content.file, height, width)
    found = label_pixels(pixels, content.names if content.names.source else pixels.names)
    yield from found.unknown
    if len(found.names) == 1:
        if found.ignored and not found.unknown:
            raise SAVError("it has no value but 0 and 255, and 255 means that nothing is said")
        return
    objects = None
    if content.objects is not None:
        objects = objects_of(read_pixels(content.objects, height, width))
    yield from shapes_of_labels(found.labels, found.names, objects)


def _write(photos: Iterator[LabelledPhoto], classes: Sequence[str], out: Path) -> None:
    names = labelmap_text(classes)
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    listed: dict[str, list[str]] = defaultdict(list)
    for photo in photos:
        stem = PurePosixPath(photo.name).with_suffix("").as_posix()
        listed[photo.split].append(stem)
        parts = list(photo.instances)
        top = topmost([part.mask for part in parts], (photo.height, photo.width)) + 1
        owners = np.array([0, *(numbers[part.label] for part in parts)])
        folder = out / photo.split
        _write_map(folder / _CLASSES / f"{stem}.png", owners[top], len(classes))
        _write_map(folder / _OBJECTS / f"{stem}.png", top, len(parts))
    for split, stems in listed.items():
        write_atomic(out / split / "labelmap.txt", names)
        lines = "".join(f"{stem}\n" for stem in stems)
        write_atomic(out / split / "ImageSets" / "Segmentation" / f"{split}.txt", lines)


def _write_map(path: Path, values: np.ndarray, largest: int) -> None:
    """A PNG with a palette, or one of 16 bits where there are too many values for that."""
    if largest <= _MOST_IN_BYTE:
        picture = Image.fromarray(values.astype(np.uint8))
        picture.putpalette(voc_palette(256).ravel().tolist())
    else:
        picture = Image.fromarray(values.astype(np.uint16))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())


MASKS = AnnotationFormat(
    name="masks",
    title="label map",
    layout="a PNG a photo in masks/, annotations/ or SegmentationClass/, names in labelmap.txt",
    holds=Holds(vehicles=False, masks=True, overlaps=False, scores=False),
    detect=_detect,
    find=_find,
    read=_read,
    write=_write,
)
