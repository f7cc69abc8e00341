"""COCO instances files as Detectron2's standard records; each file is read once in a process."""

from __future__ import annotations

import logging
import pickle
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from sav.errors import SAVError
from sav.formats.coco import read_coco

_KEPT_FILES = 16
"""Files whose contents stay in memory."""
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
    """

    info: dict[str, Any]
    categories: list[dict[str, Any]]
    packed: tuple[bytes, ...]

    def records(self) -> Iterator[dict[str, Any]]:
        """Detectron2's standard records in the order of image ids, the caller's to change.

        "file_name" is as in the file. An annotation has "bbox", "bbox_mode", "category_id" from 0
        in the order of the categories, "iscrowd", "vehicle_id", all but the id and the mode only
        where the file has them, and "segmentation", polygons or a compressed run-length code. An
        image's "group" is its "vehicle_group".
        """
        return map(pickle.loads, self.packed)


@lru_cache(_KEPT_FILES)
def read_annotation_file(stamp: Stamp) -> AnnotationFile:
    """Read a COCO instances file.

    Polygons of fewer than three points are dropped, and an annotation with no other polygon with
    them.

    Raises:
        SAVError: the file is missing, broken, or not consistent.
    """
    file = stamp[0]
    contents = read_coco(Path(file))
    for key in ("images", "annotations", "categories"):
        if len({entry["id"] for entry in contents[key]}) < len(contents[key]):
            raise SAVError(f"{file}: two of its {key} have one id; prepare it again")
    categories = sorted(contents["categories"], key=lambda category: category["id"])
    packed = tuple(pickle.dumps(record, protocol=-1) for record in _records(contents, file))
    logger.info("%s: %d images", file, len(packed))
    return AnnotationFile(contents.get("info") or {}, categories, packed)


def _records(contents: dict[str, Any], file: str) -> Iterator[dict[str, Any]]:
    class_ids = {id_: i for i, id_ in enumerate(sorted(c["id"] for c in contents["categories"]))}
    annotations = defaultdict(list)
    for annotation in contents["annotations"]:
        try:
            annotations[annotation["image_id"]].append(_annotation(annotation, class_ids))
        except SAVError as error:
            raise SAVError(f"{file}: annotation {annotation['id']}: {error}") from error
    dropped = sum(one is None for of_image in annotations.values() for one in of_image)
    if dropped:
        logger.warning("%s: dropped %d annotations without a valid polygon", file, dropped)
    for image in sorted(contents["images"], key=lambda image: image["id"]):
        record = {key: image[key] for key in ("file_name", "height", "width")}
        record["image_id"] = image["id"]
        record["annotations"] = [one for one in annotations[image["id"]] if one is not None]
        if "group" in image:
            record["vehicle_group"] = str(image["group"])
        yield record


def _annotation(source: dict[str, Any], class_ids: dict[Any, int]) -> dict[str, Any] | None:
    """None where nothing is left of its polygons."""
    if source["category_id"] not in class_ids:
        raise SAVError(f"there is no category {source['category_id']}; prepare the file again")
    if not source.get("bbox", True):
        raise SAVError("its box is empty; prepare the file again")
    annotation = {key: source[key] for key in ("iscrowd", "bbox", "vehicle_id") if key in source}
    annotation["bbox_mode"] = _XYWH_ABS
    annotation["category_id"] = class_ids[source["category_id"]]
    segmentation = source["segmentation"]
    if isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), list):
        segmentation = coco_mask.frPyObjects(segmentation, *segmentation["size"])
    elif isinstance(segmentation, list):
        valid = [points for points in segmentation if len(points) % 2 == 0 and len(points) >= 6]
        if segmentation and not valid:
            return None
        segmentation = valid
    if segmentation:
        annotation["segmentation"] = segmentation
    return annotation
