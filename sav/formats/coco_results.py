"""COCO results: a list of detections that an instances file gives names to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sav.errors import SAVError
from sav.formats.annotation_format import Entry
from sav.formats.coco import read_coco
from sav.formats.json_files import read_json
from sav.formats.records import Shape


def is_coco_results(file: Path) -> bool:
    """Whether a file is a JSON list, which no annotation file is."""
    if not file.is_file() or file.suffix.lower() != ".json":
        return False
    with file.open("rb") as stream:
        return stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def find_coco_results(file: Path, instances: Path) -> list[Entry]:
    """The photos of COCO results.

    Args:
        file: a JSON list of {"image_id", "category_id", "segmentation", "score"}.
        instances: COCO instances or part annotations, whose images and categories they are of.

    Raises:
        SAVError: one of them is not such a file, or they do not fit together.
    """
    detections = read_json(file)
    if not isinstance(detections, list):
        raise SAVError(f"{file}: not COCO results: it is no list of detections")
    contents = read_coco(instances)
    names = {str(one["id"]): one["name"] for one in contents["categories"]}
    images = {str(image["id"]): image["file_name"] for image in contents["images"]}
    grouped: dict[str, list[Any]] = defaultdict(list)
    for i, one in enumerate(detections):
        if not isinstance(one, dict) or not {"image_id", "category_id"} <= one.keys():
            raise SAVError(f"{file}: detection {i}: it has no 'image_id' or no 'category_id'")
        if str(one["image_id"]) not in images:
            raise SAVError(f"{file}: detection {i}: {instances} has no image {one['image_id']}")
        grouped[str(one["image_id"])].append((i, names.get(str(one["category_id"])), one))
    root = instances.parent
    return [
        Entry(images[number], root, None, found, str(file)) for number, found in grouped.items()
    ]


def read_coco_results(entry: Entry, height: int, width: int) -> Iterator[Shape]:
    """The detections of a photo, of :func:`find_coco_results`; all of them are instances."""
    del height, width  # the codes have a size of their own, which is checked
    for i, label, detection in entry.content:
        category = detection["category_id"]
        error = "" if label is not None else f"there is no category {category}"
        mask, score = detection.get("segmentation"), detection.get("score")
        yield Shape(f"detection {i}", label, mask, score=score, error=error)
