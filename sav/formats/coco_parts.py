"""COCO annotations of any source -> the project's part annotation files."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from sav.errors import SAVError
from sav.formats.coco import read_coco
from sav.formats.images import read_image_size
from sav.formats.masks import decode_codes, run_length_code
from sav.formats.part_files import write_splits
from sav.formats.polygons import clip_polygon
from sav.formats.records import PartInstance, Problem, RecordResult, convert_all
from sav.formats.validation_split import choose_valid
from sav.ontology import Ontology

BACKGROUND_CATEGORY = "_background_"


@dataclass(frozen=True)
class CocoSource:
    """Where the annotations come from and how they are read.

    Attributes:
        json_file: COCO instances file.
        image_root: folder of its images.
        ontology: its categories are matched to these classes by name.
        split_classes: classes whose annotations are split into one instance a polygon.
        min_pixels: instances smaller than this are dropped and counted.
        group_by_folder: the photos in one folder show one vehicle, see :func:`_vehicle_group`.
    """

    json_file: Path
    image_root: Path
    ontology: Ontology
    split_classes: frozenset[str] = frozenset()
    min_pixels: int = 4
    group_by_folder: bool = False


@dataclass(frozen=True)
class _Task:
    image: dict[str, Any]
    annotations: list[dict[str, Any]]
    group: str | None  # photos of one vehicle share it


def convert_coco(
    source: CocoSource,
    out: Path,
    *,
    valid: int = 0,
    seed: int = 0,
    workers: int = 0,
    strict: bool = False,
) -> None:
    """Write instances_train.json, instances_valid.json when there is a split, and the reports.

    Args:
        source: what to read.
        out: folder to write to.
        valid: number of images held out for validation, more where the last vehicle has several.
        seed: of the shuffle that precedes the split.
        workers: number of processes, 0 for one a core.
        strict: stop at the first record that cannot be used.

    Raises:
        SAVError: the input is not usable, or one record is not and ``strict`` is set.
    """
    contents = read_coco(source.json_file)
    class_ids = _match_categories(contents["categories"], source)
    tasks, orphans = _group_by_image(contents, source)
    group_of = {task.image["file_name"]: task.group for task in tasks}
    held_out = choose_valid(group_of, valid, seed)
    splits = {"train": [t for t in tasks if t.image["file_name"] not in held_out]}
    if held_out:
        splits["valid"] = [t for t in tasks if t.image["file_name"] in held_out]
    convert = partial(_convert_image, source, class_ids)
    if strict and orphans:
        raise SAVError(str(orphans[0]))
    results = {
        split: convert_all(convert, members, workers=workers, strict=strict, title=split)
        for split, members in splits.items()
    }
    results["train"] = chain(results["train"], [RecordResult(problems=orphans)])
    write_splits(out, source.ontology, dict.fromkeys(splits, source.image_root), results)


def _match_categories(
    categories: list[dict[str, Any]], source: CocoSource
) -> dict[Any, int | None]:
    """Category id -> class id; None for the background, which is no part."""
    known = source.ontology.class_names
    matched: dict[Any, int | None] = {}
    for category in categories:
        name = category["name"]
        if name not in known and name != BACKGROUND_CATEGORY:
            raise SAVError(
                f"{source.json_file}: category '{name}' is not in the ontology "
                f"{source.ontology.name}; its classes are: {', '.join(known)}"
            )
        matched[category["id"]] = known.index(name) if name in known else None
    for name in source.split_classes:
        source.ontology.class_id(name)
    return matched


def _group_by_image(
    contents: dict[str, Any], source: CocoSource
) -> tuple[list[_Task], list[Problem]]:
    path = source.json_file
    grouped = defaultdict(list)
    for annotation in contents["annotations"]:
        grouped[annotation["image_id"]].append(annotation)
    tasks = [
        _Task(image, grouped.pop(image["id"], []), _vehicle_group(image, source))
        for image in sorted(contents["images"], key=lambda image: _natural(image["file_name"]))
    ]
    names = Counter(task.image["file_name"] for task in tasks)
    name, count = names.most_common(1)[0] if names else ("", 0)
    if count != 1:
        what = f"image '{name}' is listed {count} times" if count else "it lists no image"
        raise SAVError(f"{path}: {what}")
    orphans = [
        Problem(str(path), f"annotation {annotation['id']}", f"there is no image {image_id}")
        for image_id, annotations in grouped.items()
        for annotation in annotations
    ]
    return tasks, orphans


def _natural(name: str) -> tuple[int, str]:
    """Sorts train2.jpg before train10.jpg."""
    return len(name), name


def _convert_image(
    source: CocoSource, class_ids: dict[Any, int | None], task: _Task
) -> RecordResult:
    result = RecordResult()
    file_name = task.image["file_name"]
    try:
        width, height = read_image_size(source.image_root / file_name)
        stated = task.image["width"], task.image["height"]
        if stated != (width, height):
            raise SAVError(
                f"the image is {width}x{height}, but its annotations are for "
                f"{stated[0]}x{stated[1]}"
            )
    except SAVError as error:
        result.problems.append(Problem(str(source.image_root / file_name), "", str(error)))
        return result
    result.image = {"file_name": file_name, "width": width, "height": height}
    if task.group is not None:
        result.image["group"] = task.group
    for annotation in task.annotations:
        category = annotation["category_id"]
        try:
            if category not in class_ids:
                raise SAVError(f"there is no category {category}")
            if class_ids[category] is None:
                result.notes["background annotations ignored"] += 1
            elif annotation.get("iscrowd", 0):
                result.notes["crowd annotations ignored"] += 1
            else:
                instances = list(_instances(annotation, class_ids[category], source, result))
                result.annotations += [instance.to_annotation() for instance in instances]
        except SAVError as error:
            where = f"annotation {annotation['id']} of {file_name}"
            result.problems.append(Problem(str(source.json_file), where, str(error)))
    return result


def _vehicle_group(image: dict[str, Any], source: CocoSource) -> str | None:
    """The image's field "group", or its folder where folders are vehicles; None for neither."""
    folder = (source.image_root / image["file_name"]).parent
    if image.get("group") is not None:
        return str(image["group"])
    if source.group_by_folder and folder != source.image_root:
        return folder.relative_to(source.image_root.parent).as_posix()
    return None


def _instances(
    annotation: dict[str, Any], class_id: int, source: CocoSource, result: RecordResult
) -> Iterator[PartInstance]:
    width, height = result.image["width"], result.image["height"]
    segmentation = annotation["segmentation"]
    pieces = [segmentation]
    if isinstance(segmentation, list):
        polygons = [_clean_polygon(p, width, height, result.notes) for p in segmentation]
        split = source.ontology.class_names[class_id] in source.split_classes
        pieces = [[polygon] for polygon in polygons] if split else [polygons]
        result.notes["instances split off by polygon"] += max(0, len(pieces) - 1)
    for piece in pieces:
        (mask,) = decode_codes([run_length_code(piece, height, width)], height, width)
        if np.count_nonzero(mask) < source.min_pixels:
            result.notes[f"instances under {source.min_pixels} pixels dropped"] += 1
            continue
        yield PartInstance(class_id, mask, int(annotation.get("vehicle_id", 0)))


def _clean_polygon(
    polygon: Collection[float], width: int, height: int, notes: Counter[str]
) -> list[float]:
    """Check one flat polygon and clip it to the image."""
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        raise SAVError("a polygon has fewer than 3 points")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in polygon):
        raise SAVError("a polygon has a coordinate that is not a number")
    return clip_polygon(polygon, width, height, notes)
