"""Label maps (one class a pixel) -> the shapes of their parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from sav.errors import SAVError
from sav.formats.images import open_image
from sav.formats.masks import Code, encode_mask
from sav.formats.reading import Reading, instances_of
from sav.formats.records import PartInstance, RecordResult, Shape
from sav.formats.vehicles import vehicle_map
from sav.ontology import Ontology

_MOST_SHAPES = 10_000
"""A label map that falls into more pieces is none: a photo, or one that was smoothed."""


def read_index_mask(path: Path, size: tuple[int, int], num_classes: int) -> np.ndarray:
    """Read an index mask and check that it has this size (height, width).

    Returns:
        (H, W) uint8.

    Raises:
        SAVError: it is broken, has another size, is no single-channel image or holds a value that
            is no class; the message leaves out its path.
    """
    with open_image(path) as image:
        # Palette images give their indices; colours are for the eye only.
        labels = np.asarray(image)
    if labels.ndim != 2:
        raise SAVError("the mask has several channels; an index mask has one")
    if labels.shape != size:
        (height, width), (rows, columns) = size, labels.shape
        raise SAVError(f"the mask is {columns}x{rows}, but the image is {width}x{height}")
    if labels.max() > num_classes:
        raise SAVError(f"the mask holds {labels.max()}, but the classes end at {num_classes}")
    return labels.astype(np.uint8)


def joined_components(ontology: Ontology) -> dict[str, str]:
    """Which classes do not come apart into components; see :attr:`Reading.joined`.

    A body (see ``Ontology.body_ids``) is one instance a vehicle, since windows and doors may cut
    what is left of it in pieces. A class that a photo can show once is one instance.
    """
    single = {part.name: "photo" for part in ontology.classes if part.max_instances == 1}
    return single | {ontology.class_names[i]: "vehicle" for i in ontology.body_ids}


def instances_of_index(
    labels: np.ndarray,
    ontology: Ontology,
    foreground: str,
    min_pixels: int,
    notes: Counter[str],
) -> list[PartInstance]:
    """Part an index mask into instances, see :func:`shapes_of_labels` and `joined_components`.

    Args:
        labels: (H, W) uint8, class id + 1, 0 background.
        ontology: the classes.
        foreground: "whole" makes a body all pixels of its vehicle.
        min_pixels: smaller instances are dropped and counted.
        notes: receives that count.
    """
    shapes = shapes_of_labels(labels, [None, *ontology.class_names])
    reading = Reading(joined=joined_components(ontology), min_pixels=min_pixels)
    parts = instances_of(list(shapes), labels.shape, reading, "", RecordResult(notes=notes))
    if foreground != "whole":
        return parts
    bodies = {ontology.class_names[i] for i in ontology.body_ids}
    vehicles = np.where(labels > 0, vehicle_map(labels > 0), -1)
    return [
        replace(part, code=encode_mask(vehicles == part.vehicle_id))
        if part.label in bodies
        else part
        for part in parts
    ]


def shapes_of_labels(
    labels: np.ndarray, names: Sequence[Any], objects: np.ndarray | None = None
) -> Iterator[Shape]:
    """The parts of a label map, class by class, large ones first.

    Where the map of objects does not tell instances apart, each connected component of a class is a
    shape, marked as such. Pixels touch across corners, too. Labelled pixels that touch are taken
    for one vehicle.

    Args:
        labels: (H, W) integers; 0 is the background.
        names: the label of each value.
        objects: (H, W) integers, pixels of one instance have the same one; 0: not told apart.

    Raises:
        SAVError: the map falls into more pieces than any photo has parts.
    """
    numbers, owners, told = _numbered(labels, objects)
    vehicles = vehicle_map(labels > 0)
    for number, code, pixel in sorted(codes_of_map(numbers), key=lambda one: owners[one[0]]):
        label = names[owners[number]]
        vehicle = int(vehicles[pixel])
        component = number not in told
        instance = None if component else told[number]
        yield Shape(
            f"part {number}", label, code, instance=instance, vehicle=vehicle, component=component
        )


def _numbered(
    labels: np.ndarray, objects: np.ndarray | None
) -> tuple[np.ndarray, list[int], dict[int, int]]:
    """Number the objects, and the components of what is of no object, from 1.

    Returns:
        (H, W) int32 numbers; the class value of each number, the first is of none; and the object
        of each number that is of one.
    """
    numbers = np.zeros(labels.shape, dtype=np.int32)
    owners, told = [0], {}
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        mask = labels[box] == value
        if objects is not None:
            mask = mask & (objects[box] == 0)
        count, found = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        numbers[box][mask] = found[mask] + len(owners) - 1
        owners += [value] * (count - 1)
        if objects is not None:
            here = (labels[box] == value) & (objects[box] != 0)
            of_class, places = np.unique(objects[box][here], return_inverse=True)
            numbers[box][here] = places + len(owners)
            told |= {len(owners) + i: int(one) for i, one in enumerate(of_class)}
            owners += [value] * len(of_class)
        if len(owners) > _MOST_SHAPES:
            raise SAVError(
                f"it falls into more than {_MOST_SHAPES} pieces: is it a photo, or a mask that was "
                "smoothed or saved as JPEG?"
            )
    return numbers, owners, told


def codes_of_map(numbers: np.ndarray) -> list[tuple[int, Code, tuple[int, int]]]:
    """The masks of all numbers of a map in one pass over its runs, the largest first.

    Args:
        numbers: (H, W) integers; 0 is of none.

    Returns:
        For each number that occurs: the number, its run-length code, uncompressed, and the row and
        column where its longest run starts.
    """
    height, width = numbers.shape
    flat = numbers.ravel(order="F")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    ends = np.append(starts[1:], flat.size)
    values = flat[starts]
    order = np.argsort(values, kind="stable")
    order = order[values[order] > 0]
    borders = np.flatnonzero(np.diff(values[order])) + 1
    found = []
    for runs in np.split(order, borders) if len(order) else ():
        first, last = starts[runs], ends[runs]
        counts = np.empty(2 * len(runs) + 1, dtype=np.int64)
        counts[0], counts[1::2], counts[-1] = first[0], last - first, flat.size - last[-1]
        counts[2:-1:2] = first[1:] - last[:-1]
        code = {"size": [height, width], "counts": counts.tolist()}
        column, row = divmod(int(first[(last - first).argmax()]), height)
        found.append((int((last - first).sum()), int(values[runs[0]]), code, (row, column)))
    found.sort(key=lambda one: -one[0])
    return [one[1:] for one in found]
