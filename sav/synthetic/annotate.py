"""From rendered label maps to what a VehicleSeg10K annotator would have written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sav.synthetic.parts import PartMapping
from sav.synthetic.scene import Scene

MIN_FRAGMENT = 12
"""Visible pieces of a part with fewer pixels are not annotated."""

_MIN_HOLE = 3
_TOLERANCE = 0.75  # of polygons, in half pixels


@dataclass(frozen=True, eq=False)
class PartInstance:
    """One annotated part.

    Attributes:
        class_value: class id + 1.
        vehicle: index of the vehicle from 0.
        covers: it is the outline of the whole vehicle, which other parts are painted over.
        area: visible pixels.
        polygons: outlines (N, 2) in continuous pixel coordinates (the first pixel covers 0 to 1);
            several where something hides the middle of the part.
    """

    class_value: int
    vehicle: int
    covers: bool
    area: int
    polygons: list[np.ndarray]


@dataclass(frozen=True, eq=False)
class Annotation:
    """The labels of one image.

    Attributes:
        index_map: (H, W) uint8 class id + 1, 0 is background.
        instances: in the order in which painting them over each other gives the index map.
    """

    index_map: np.ndarray
    instances: list[PartInstance]


def annotate(scene: Scene, mapping: PartMapping) -> Annotation:
    """Name the visible parts of a scene in the words of an ontology."""
    index_map = np.zeros(scene.part_map.shape, np.uint8)
    instances = []
    for vehicle in range(len(scene.metadata["vehicles"])):
        whole = scene.vehicle_map == vehicle + 1
        if not whole.any():
            continue
        x, y, w, h = cv2.boundingRect(whole.view(np.uint8))
        window = (slice(y, y + h), slice(x, x + w))
        whole, target = whole[window], index_map[window]
        keys = np.where(whole, mapping.instance_keys[scene.part_map[window]], 0).astype(np.uint8)
        masks = []
        if mapping.cover:
            masks.append((mapping.cover, whole))
            keys[keys == mapping.cover] = 0
        for key in np.unique(keys[keys > 0]):
            masks.append((int(mapping.class_values[mapping.instance_keys == key][0]), keys == key))
        for value, mask in masks:
            kept, area, polygons = _trace(mask, (x, y))
            target[kept] = value
            if polygons:
                covers = value == mapping.cover
                instances.append(PartInstance(value, vehicle, covers, area, polygons))
    instances.sort(key=lambda part: (not part.covers, -part.area))
    return Annotation(index_map, instances)


def _trace(mask: np.ndarray, origin: tuple[int, int]) -> tuple[np.ndarray, int, list[np.ndarray]]:
    """A mask (H, W) without its specks, the pixels that are left, and their outlines."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    kept, polygons, area = np.zeros_like(mask), [], 0
    for component in range(1, count):
        left, top, width, height, pixels = stats[component].tolist()
        if pixels < MIN_FRAGMENT:
            continue
        window = (slice(top, top + height), slice(left, left + width))
        piece = labels[window] == component
        kept[window] |= piece
        area += pixels
        polygons += trace_polygons(piece, (origin[0] + left, origin[1] + top))
    return kept, area, polygons


def trace_polygons(mask: np.ndarray, origin: tuple[int, int] = (0, 0)) -> list[np.ndarray]:
    """Outlines of a connected mask.

    A polygon cannot have a hole: a mask with one is cut in two along a column through it.

    Args:
        mask: (H, W) bool.
        origin: x, y of the mask's first pixel in the picture.

    Returns:
        polygons (N, 2) float64 in continuous pixel coordinates.
    """
    double = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, tree = cv2.findContours(double, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for contour, node in zip(contours, tree[0] if contours else (), strict=True):
        if node[3] >= 0:
            x, _, width, height = cv2.boundingRect(contour)
            if (width // 2 - 1) * (height // 2 - 1) < _MIN_HOLE:
                continue
            cut = (x + width // 2) // 2
            right = (origin[0] + cut, origin[1])
            return trace_polygons(mask[:, :cut], origin) + trace_polygons(mask[:, cut:], right)
        outline = cv2.approxPolyDP(contour, _TOLERANCE, closed=True)[:, 0]
        if len(outline) > 2:
            polygons.append((outline + 0.5) / 2 + origin)
    return polygons


def to_labelme(annotation: Annotation, class_names: list[str], image_path: str) -> dict[str, Any]:
    """A LabelMe record.

    `group_id` is the vehicle's index and `description` is "instance N": shapes with equal label,
    group_id and description are pieces of one instance, and no two instances of an image share N.

    Args:
        annotation: from :func:`annotate`.
        class_names: of the ontology, in id order.
        image_path: of the image, relative to the record's folder.
    """
    shapes = [
        {
            "label": class_names[instance.class_value - 1],
            "points": [[round(float(x), 2), round(float(y), 2)] for x, y in polygon],
            "group_id": instance.vehicle,
            "description": f"instance {number}",
            "shape_type": "polygon",
            "flags": {},
        }
        for number, instance in enumerate(annotation.instances, start=1)
        for polygon in instance.polygons
    ]
    height, width = annotation.index_map.shape
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
