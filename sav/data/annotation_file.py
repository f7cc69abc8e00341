"""COCO instances files as Detectron2's standard records; each file is read once in a process."""

from __future__ import annotations

import logging
import pickle
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sav.errors import SAVError
from sav.formats.coco import read_coco
from sav.formats.masks import run_length_code, sound_codes

_KEPT_FILES = 16
"""Files whose contents stay in memory."""
_AT_ONCE = 256
"""Run-length codes that are checked together."""
_KEPT = ("iscrowd", "area", "bbox")
"""Of an annotation, as they are."""
_XYWH_ABS = 1
"""A "bbox_mode", Detectron2's BoxMode.XYWH_ABS: left, top, width, height in pixels."""

Stamp = tuple[str, int, int]
"""What tells a file from another one, and from itself after a change."""

logger = logging.getLogger(__name__)


def file_stamp(path: str | Path) -> Stamp:
    """Path, time of the last change in nanoseconds, and size in bytes; for caches.

    Raises:
        OSError: the file is missing.
    """
    status = Path(path).stat()
    return str(path), status.st_mtime_ns, status.st_size


@dataclass(frozen=True)
class AnnotationFile:
    """What an annotation file says; it belongs to all callers and is only to be read.

    Attributes:
        info: its "info".
        categories: in the order of their ids.
        packed: the records, each pickled. As objects those of 10,000 photos take 200 MB in each
            process, and again in each loader worker, whose garbage collector writes to all of them.
        lost: each annotation that cannot be used, and why.
        num_left_out: photos without records, because all their annotations are lost.
    """

    info: dict[str, Any]
    categories: list[dict[str, Any]]
    packed: tuple[bytes, ...]
    lost: tuple[str, ...]
    num_left_out: int

    def records(self) -> Iterator[dict[str, Any]]:
        """Detectron2's standard records in the order of image ids, the caller's to change.

        "file_name" is as in the file. An annotation has "bbox", "bbox_mode", "category_id" from 0
        in the order of the categories, "segmentation", polygons or a compressed run-length code,
        and where the file has them "iscrowd", "area" and "vehicle_id"; "bbox" may be missing, too.
        An image's "group" is its "vehicle_group".
        """
        return map(pickle.loads, self.packed)


@lru_cache(_KEPT_FILES)
def read_annotation_file(stamp: Stamp) -> AnnotationFile:
    """Read a COCO instances file and check all of it, without drawing a mask.

    An annotation whose image is not listed, or whose mask cannot be, is lost, and so is a photo
    that has no others: without them it would say that there is nothing to see. Polygons of fewer
    than three points are dropped as long as there are others. What else is wrong is an error.

    Raises:
        SAVError: the file is missing, broken, or not consistent.
    """
    file = stamp[0]
    contents = read_coco(Path(file))
    try:
        return _check(contents, file)
    except SAVError as error:
        raise SAVError(
            f"{file}: {error}; 'sav prepare coco' may know such files, see datasets/README.md"
        ) from error


def _check(contents: dict[str, Any], file: str) -> AnnotationFile:
    info = contents.get("info") or {}
    texts = [info.get(key, "") for key in ("ontology", "image_root")] if _is(info, dict) else [None]
    if not all(_is(text, str) for text in texts):
        raise SAVError("its 'info' is not one of an annotation file")
    images = _by_id(contents["images"], "image", "file_name")
    categories = _by_id(contents["categories"], "category", "name")
    _by_id(contents["annotations"], "annotation", "id")
    for image in images.values():
        _check_image(image)
    file_names = Counter(image["file_name"] for image in images.values())
    for name, count in file_names.most_common(1):
        if count > 1:
            raise SAVError(f"image '{name}' is listed {count} times")
    class_ids = {id_: i for i, id_ in enumerate(sorted(categories))}
    annotations, lost, deprived = defaultdict(list), [], set()
    sound = _sound(contents["annotations"], images)
    for source in contents["annotations"]:
        try:
            annotation = _annotation(source, class_ids, images)
            if source["id"] not in sound:
                annotation["segmentation"] = _checked(source, images[source["image_id"]])
            annotations[source["image_id"]].append(annotation)
        except _LostLabelError as error:
            lost.append(f"annotation {source['id']}: {error}")
            deprived.add(source["image_id"])
        except SAVError as error:
            raise SAVError(f"annotation {source['id']}: {error}") from error
    left_out = deprived.difference(annotations).intersection(images)
    packed = tuple(
        pickle.dumps(_record(images[id_], annotations[id_]), protocol=-1)
        for id_ in sorted(images.keys() - left_out)
    )
    logger.info("%s: %d images", file, len(packed))
    ordered = [categories[id_] for id_ in sorted(categories)]
    return AnnotationFile(info, ordered, packed, tuple(lost), len(left_out))


class _LostLabelError(SAVError):
    """One annotation cannot be used."""


def _is(value: Any, kind: type) -> bool:
    """Of this very type: True is no number."""
    return type(value) is kind


def _by_id(entries: list[dict[str, Any]], what: str, name: str) -> dict[int, dict[str, Any]]:
    """Entries by their "id"; `name` is the field that users know them by."""
    found: dict[int, dict[str, Any]] = {}
    for entry in entries:
        if not _is(entry["id"], int):
            raise SAVError(f"{what} id {entry['id']!r}: it is no whole number")
        other = found.setdefault(entry["id"], entry)
        if other is not entry:
            names = f"{other[name]} and {entry[name]}" if name != "id" else "two of them"
            raise SAVError(f"{what} id {entry['id']} is used by {names}")
    return found


def _check_image(image: dict[str, Any]) -> None:
    if not _is(image["file_name"], str) or not image["file_name"]:
        raise SAVError(f"image {image['id']}: its file_name is no text")
    for key in ("width", "height"):
        if not _is(image[key], int) or image[key] < 1:
            raise SAVError(f"image '{image['file_name']}': its {key} {image[key]!r} is no size")


def _record(image: dict[str, Any], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    record = {key: image[key] for key in ("file_name", "height", "width")}
    record |= {"image_id": image["id"], "annotations": annotations}
    if image.get("group") is not None:
        record["vehicle_group"] = str(image["group"])
    return record


def _annotation(
    source: dict[str, Any], class_ids: dict[int, int], images: dict[int, dict[str, Any]]
) -> dict[str, Any]:
    category, image_id = source["category_id"], source["image_id"]
    if not _is(image_id, int):
        raise SAVError(f"its image_id {image_id!r} is no whole number")
    if not _is(category, int) or category not in class_ids:
        raise SAVError(f"there is no category {category!r}")
    if not source.get("bbox", True):
        raise SAVError("its box is empty")
    if type(source.get("area", 0)) not in (int, float):
        raise SAVError(f"its area {source['area']!r} is no number")
    annotation = {key: source[key] for key in _KEPT if key in source}
    annotation |= {
        "bbox_mode": _XYWH_ABS,
        "category_id": class_ids[category],
        "segmentation": source["segmentation"],
    }
    if source.get("vehicle_id") is not None:
        if not _is(source["vehicle_id"], int):
            raise SAVError(f"its vehicle_id {source['vehicle_id']!r} is no whole number")
        annotation["vehicle_id"] = source["vehicle_id"]
    if image_id not in images:
        raise _LostLabelError(f"there is no image {image_id}")
    return annotation


def _sound(sources: list[dict[str, Any]], images: dict[int, dict[str, Any]]) -> set[int]:
    """The ids of annotations whose masks need no further look: almost all, in an instant."""
    coded = [
        source
        for source in sources
        if isinstance(source["segmentation"], dict)
        and _is(source["image_id"], int)
        and source["image_id"] in images
    ]
    sound: set[int] = set()
    for start in range(0, len(coded), _AT_ONCE):
        some = coded[start : start + _AT_ONCE]
        shown = (images[source["image_id"]] for source in some)
        sizes = [(image["height"], image["width"]) for image in shown]
        if sound_codes([source["segmentation"] for source in some], sizes):
            sound.update(source["id"] for source in some)
    return sound


def _checked(source: dict[str, Any], image: dict[str, Any]) -> Any:
    """The polygons of an annotation, as they are, or its compressed run-length code.

    Raises:
        _LostLabelError: it has neither, or numbers that a mask cannot have.
    """
    try:
        return _segmentation(source["segmentation"], image)
    except SAVError as error:
        raise _LostLabelError(str(error)) from error


def _segmentation(segmentation: Any, image: dict[str, Any]) -> Any:
    if not segmentation:
        raise SAVError("it has no mask")
    if not isinstance(segmentation, list):
        return run_length_code(segmentation, image["height"], image["width"])
    kept = [polygon for polygon in segmentation if not _is_scrap(polygon)]
    if not kept:
        raise SAVError("none of its polygons has three points")
    # In one pixel: what is outside is not drawn, so this checks the numbers alone.
    run_length_code(kept, 1, 1)
    return kept


def _is_scrap(polygon: Any) -> bool:
    """What Detectron2 drops."""
    return isinstance(polygon, list) and (len(polygon) < 6 or len(polygon) % 2 == 1)
