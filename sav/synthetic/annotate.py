"""From rendered label maps to what a VehicleSeg10K annotator would have written down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sav.formats.labelme import describe, labelme_record
from sav.formats.outlines import mask_to_polygons
from sav.synthetic.parts import PartMapping
from sav.synthetic.scene import Scene

MIN_FRAGMENT = 12
"""Visible pieces of a part with fewer pixels are not annotated."""


@dataclass(frozen=True, eq=False)
class RenderedPart:
    """One part of one vehicle.

    Attributes:
        class_id: in the ontology.
        mask: (H, W) bool, not empty.
        vehicle_id: index of its vehicle in the scene.
    """

    class_id: int
    mask: np.ndarray
    vehicle_id: int


@dataclass(frozen=True, eq=False)
class Annotation:
    """The labels of one image.

    Attributes:
        index_map: (H, W) uint8 class id + 1, 0 is background.
        instances: in the order in which painting them over each other gives the index map: first
            the outlines of whole vehicles, where the ontology has a class for these.
    """

    index_map: np.ndarray
    instances: list[RenderedPart]


def annotate(scene: Scene, mapping: PartMapping) -> Annotation:
    """Name the visible parts of a scene in the words of an ontology."""
    instances = []
    for vehicle in range(len(scene.metadata["vehicles"])):
        parts = np.where(scene.vehicle_map == vehicle + 1, scene.part_map, 0)
        seen = np.unique(parts)
        for rule in mapping.rules:
            if not rule.shows[seen].any():
                continue
            mask = _without_specks(rule.extent[parts])
            if mask.any():
                instances.append(RenderedPart(rule.class_id, mask, vehicle))
    bodies = mapping.ontology.body_ids
    instances.sort(key=lambda part: (part.class_id not in bodies, -np.count_nonzero(part.mask)))
    index_map = np.zeros(scene.part_map.shape, np.uint8)
    for instance in instances:
        index_map[instance.mask] = instance.class_id + 1
    return Annotation(index_map, instances)


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """A mask (H, W) bool without its smallest pieces."""
    kept = np.zeros_like(mask)
    for window, piece in _pieces(mask):
        if np.count_nonzero(piece) >= MIN_FRAGMENT:
            kept[window] |= piece
    return kept


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Polygons of the pieces of a mask, as an annotator draws them.

    Args:
        mask: (H, W) bool.

    Returns:
        (N, 2) float64 each, in continuous pixel coordinates; several where something hides the
        middle of the part.
    """
    options = {"tolerance": 0.375, "min_hole": 3, "keep_flat": False}
    return [
        polygon
        for (rows, columns), piece in _pieces(mask)
        for polygon in mask_to_polygons(piece, origin=(columns.start, rows.start), **options)
    ]


def _pieces(mask: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """The connected pieces of a mask that is not empty, each in its box."""
    pixels = mask.view(np.uint8)
    x, y, width, height = cv2.boundingRect(pixels)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        pixels[y : y + height, x : x + width], connectivity=4
    )
    for component in range(1, count):
        left, top, width, height, _ = stats[component].tolist()
        piece = labels[top : top + height, left : left + width] == component
        left, top = x + left, y + top
        yield (slice(top, top + height), slice(left, left + width)), piece


def to_labelme(annotation: Annotation, class_names: list[str], image_path: str) -> dict[str, Any]:
    """A LabelMe record.

    `group_id` is the vehicle's index and `description` is "instance N": shapes with equal label,
    group_id and description are pieces of one instance, and no two instances of an image share N.

    Args:
        annotation: from :func:`annotate`.
        class_names: of the ontology, in id order.
        image_path: of the image, relative to the record's folder.
    """
    polygons = [
        (class_names[instance.class_id], polygon, instance.vehicle_id, describe(number))
        for number, instance in enumerate(annotation.instances, start=1)
        for polygon in outlines(instance.mask)
    ]
    return labelme_record(polygons, image_path, *annotation.index_map.shape)
