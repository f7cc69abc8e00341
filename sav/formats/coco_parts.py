"""COCO annotations of any source -> the project's part annotation files."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sav.errors import SAVError
from sav.formats.coco import convert_splits, read_coco
from sav.formats.images import read_image_size
from sav.formats.masks import clip_polygon, decode_codes, run_length_code
from sav.formats.records import PartInstance, Problem, RecordResult
from sav.formats.vehicles import assign_vehicles
from sav.ontology import Ontology

BACKGROUND_CATEGORY = "_background_"

_Record = TypeVar("_Record")
_Task = tuple[dict[str, Any], list[dict[str, Any]]]
"""An image, whose "group" may be None, and its annotations."""


@dataclass(frozen=True)
class CocoSource:
    """Where the annotations come from and how they are read.

    Attributes:
        json_file: COCO instances file.
        image_root: folder of its images.
        ontology: its categories are matched to these classes by name.
        split_classes: classes whose annotations are split into one instance a polygon.
        min_pixels: instances smaller than this are dropped and counted.
        group_by_folder: the photos in one folder show one vehicle.
    """

    json_file: Path
    image_root: Path
    ontology: Ontology
    split_classes: frozenset[str] = frozenset()
    min_pixels: int = 4
    group_by_folder: bool = False


def convert_coco(
    source: CocoSource,
    out: Path,
    *,
    valid: int = 0,
    seed: int = 0,
    workers: int = 0,
    strict: bool = False,
) -> None:
    """Write part annotations and reports, see :func:`sav.formats.coco.convert_splits`.

    Args:
        source: what to read.
        out: folder to write to.
        valid: see :func:`choose_valid`; 0 writes no "valid" split.
        seed: of the shuffle that precedes the split.
        workers: number of processes, 0 for one a core.
        strict: stop at the first record that cannot be used.

    Raises:
        SAVError: the input is not usable, or one record is not and ``strict`` is set.
    """
    contents = read_coco(source.json_file)
    class_ids = _match_categories(contents["categories"], source)
    tasks, orphans = _group_by_image(contents, source)
    named = [(task[0]["file_name"], task) for task in tasks]
    groups = {image["file_name"]: image["group"] for image, _ in tasks}
    splits = split_records(named, choose_valid(groups, valid, seed))
    convert_splits(
        partial(_convert_image, source, class_ids),
        splits,
        dict.fromkeys(splits, source.image_root),
        out,
        source.ontology,
        workers=workers,
        strict=strict,
        orphans=orphans,
    )


def split_records(
    named: Iterable[tuple[str, _Record]], held_out: Collection[str]
) -> dict[str, list[_Record]]:
    """Records by split, in their order: "valid", if there is one, has those whose name is held out.

    Args:
        named: name and record.
        held_out: names, see :func:`choose_valid`.
    """
    splits: dict[str, list[_Record]] = {"train": [], **({"valid": []} if held_out else {})}
    for name, record in named:
        splits["valid" if name in held_out else "train"].append(record)
    return splits


def choose_valid(group_of: Mapping[str, str | None], valid: int, seed: int = 0) -> set[str]:
    """Pick the names of the validation images, of each vehicle all or none.

    The choice depends on the names, their groups and the seed alone.

    Args:
        group_of: the vehicle that each image shows together with others; None: with no other.
        valid: at least so many images.
        seed: of the shuffle that precedes the choice.

    Raises:
        SAVError: no image would be left for training.
    """
    images_of: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for name, group in sorted(group_of.items()):
        images_of[group is None, name if group is None else group].append(name)
    vehicles = list(images_of.values())
    random.Random(seed).shuffle(vehicles)
    chosen: set[str] = set()
    for vehicle in vehicles:
        if len(chosen) >= valid:
            return chosen
        chosen.update(vehicle)
    raise SAVError(
        f"--valid {valid}: there are {len(group_of)} images of {len(vehicles)} vehicles; "
        "leave some for training"
    )


def _match_categories(
    categories: list[dict[str, Any]], source: CocoSource
) -> dict[Any, int | None]:
    """Category id -> class id; None for the background, which is no part."""
    known = source.ontology.class_names
    for name in (category["name"] for category in categories):
        if name not in known and name != BACKGROUND_CATEGORY:
            raise SAVError(
                f"{source.json_file}: category '{name}' is not in the ontology "
                f"{source.ontology.name}; its classes are: {', '.join(known)}"
            )
    for name in source.split_classes:
        source.ontology.class_id(name)
    return {c["id"]: known.index(c["name"]) if c["name"] in known else None for c in categories}


def _group_by_image(
    contents: dict[str, Any], source: CocoSource
) -> tuple[list[_Task], list[Problem]]:
    """The images in natural order, and the annotations that belong to none."""
    path = source.json_file
    grouped = defaultdict(list)
    for annotation in contents["annotations"]:
        grouped[annotation["image_id"]].append(annotation)
    # By length first: train2.jpg comes before train10.jpg.
    images = sorted(contents["images"], key=lambda i: (len(i["file_name"]), i["file_name"]))
    names = Counter(image["file_name"] for image in images)
    name, count = names.most_common(1)[0] if names else ("", 0)
    if count != 1:
        what = f"image '{name}' is listed {count} times" if count else "it lists no image"
        raise SAVError(f"{path}: {what}")
    tasks = [
        ({**image, "group": _vehicle_group(image, source)}, grouped.pop(image["id"], []))
        for image in images
    ]
    orphans = [
        Problem(str(path), f"annotation {annotation['id']}", f"there is no image {image_id}")
        for image_id, annotations in grouped.items()
        for annotation in annotations
    ]
    return tasks, orphans


def _vehicle_group(image: dict[str, Any], source: CocoSource) -> str | None:
    """The image's field "group", or its folder where folders are vehicles; None for neither."""
    folder = (source.image_root / image["file_name"]).parent
    if image.get("group") is not None:
        return str(image["group"])
    if source.group_by_folder and folder != source.image_root:
        return folder.relative_to(source.image_root.parent).as_posix()
    return None


def _convert_image(
    source: CocoSource, class_ids: dict[Any, int | None], task: _Task
) -> RecordResult:
    result = RecordResult()
    image, annotations = task
    path = source.image_root / image["file_name"]
    try:
        width, height = read_image_size(path)
    except SAVError as error:
        return result.skip(path, error)
    if (image["width"], image["height"]) != (width, height):
        stated = f"{image['width']}x{image['height']}"
        reason = f"the image is {width}x{height}, but its annotations are for {stated}"
        return result.skip(path, reason)
    result.image = {"file_name": image["file_name"], "width": width, "height": height}
    if image["group"] is not None:
        result.image["group"] = image["group"]
    instances = []
    for annotation in annotations:
        category = annotation["category_id"]
        try:
            if category not in class_ids:
                raise SAVError(f"there is no category {category}")
            if class_ids[category] is None:
                result.notes["background annotations ignored"] += 1
            elif annotation.get("iscrowd", 0):
                result.notes["crowd annotations ignored"] += 1
            else:
                instances += list(_instances(annotation, class_ids[category], source, result))
        except SAVError as error:
            where = f"annotation {annotation['id']} of {image['file_name']}"
            result.skip(source.json_file, error, where)
    vehicles = assign_vehicles(instances, source.ontology.body_ids)
    for instance, vehicle in zip(instances, vehicles, strict=True):
        result.annotations.append(replace(instance, vehicle_id=vehicle).to_annotation())
    return result


def _instances(
    annotation: dict[str, Any], class_id: int, source: CocoSource, result: RecordResult
) -> Iterator[PartInstance]:
    width, height = result.image["width"], result.image["height"]
    segmentation = annotation["segmentation"]
    pieces = [segmentation]
    if isinstance(segmentation, list):
        polygons = []
        for polygon in segmentation:
            if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                raise SAVError("a polygon has fewer than 3 points")
            polygons.append(clip_polygon(polygon, width, height, result.notes))
        split = source.ontology.class_names[class_id] in source.split_classes
        pieces = [[polygon] for polygon in polygons] if split else [polygons]
        result.notes["instances split off by polygon"] += max(0, len(pieces) - 1)
    for piece in pieces:
        (mask,) = decode_codes([run_length_code(piece, height, width)], height, width)
        if np.count_nonzero(mask) < source.min_pixels:
            result.notes[f"instances under {source.min_pixels} pixels dropped"] += 1
            continue
        vehicle = annotation.get("vehicle_id")
        yield PartInstance(class_id, mask, None if vehicle is None else int(vehicle))
