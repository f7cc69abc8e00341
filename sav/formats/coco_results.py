"""COCO results: a list of detections that an instances file gives names to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sav.errors import SAVError
from sav.formats.annotation_format import Entry
from sav.formats.coco import read_coco
from sav.formats.coco_lists import category_names, id_of, images_by_id
from sav.formats.json_files import read_json
from sav.formats.label_studio import has_tasks
from sav.formats.records import Shape

_BEFORE_LIST = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"
"""Marks of encodings, and spaces."""


def read_detections(file: Path) -> list[Any] | None:
    """What is in a file of COCO results; None where it is none, such as tasks of Label Studio.

    Raises:
        SAVError: it begins as a list in JSON and is broken.
    """
    if not file.is_file() or file.suffix.lower() != ".json":
        return None
    with file.open("rb") as stream:
        if not stream.read(64).lstrip(_BEFORE_LIST).startswith(b"["):
            return None
    detections = read_json(file)
    return None if has_tasks(detections) else detections


def find_coco_results(file: Path, detections: list[Any], instances: Path) -> list[Entry]:
    """The photos of COCO results.

    Args:
        file: that has the detections.
        detections: each {"image_id", "category_id", "segmentation", "score"}.
        instances: COCO instances or part annotations, whose images and categories they are of.

    Raises:
        SAVError: they do not fit together.
    """
    contents = read_coco(instances)
    names = category_names(contents["categories"], instances)
    images, _ = images_by_id(contents["images"], instances)
    grouped: dict[str, list[Any]] = defaultdict(list)
    for i, one in enumerate(detections):
        if not isinstance(one, dict) or not {"image_id", "category_id"} <= one.keys():
            raise SAVError(f"{file}: detection {i}: it has no 'image_id' or no 'category_id'")
        number = id_of(one["image_id"]) or ""
        if number not in images:
            raise SAVError(f"{file}: detection {i}: {instances} has no image {one['image_id']}")
        grouped[number].append((i, names.get(id_of(one["category_id"]) or ""), one))
    root = instances.parent
    return [
        Entry(images[number]["file_name"], root, None, found, str(file))
        for number, found in grouped.items()
    ]


def read_coco_results(entry: Entry, height: int, width: int) -> Iterator[Shape]:
    """The detections of a photo, of :func:`find_coco_results`; all of them are instances."""
    del height, width  # the codes have a size of their own, which is checked
    for i, label, detection in entry.content:
        category = detection["category_id"]
        error = "" if label is not None else f"there is no category {category}"
        mask, score = detection.get("segmentation"), detection.get("score")
        yield Shape(f"detection {i}", label, mask, score=score, error=error)
