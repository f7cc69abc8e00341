"""Detectron2 records -> masks and label maps."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from pycocotools.mask import area as mask_area
from pycocotools.mask import merge

from sav.errors import SAVError
from sav.formats.crops import paint_labels
from sav.formats.masks import decode_codes, run_length_code, sound_codes


def load_instance_codes(
    record: dict[str, Any], *, crowds: bool = False
) -> tuple[list[dict[str, Any]], np.ndarray, np.ndarray]:
    """Bring the instances of a record into one form.

    Args:
        record: a Detectron2 record with "height", "width" and "annotations", whose segmentations
            are polygons or run-length codes.
        crowds: whether crowds are among them.

    Returns:
        N compressed run-length codes of height x width, class ids (N,) int64, vehicle ids (N,)
        int64.

    Raises:
        SAVError: a segmentation is not usable.
    """
    height, width = record["height"], record["width"]
    kept = [a for a in record.get("annotations", ()) if crowds or not a.get("iscrowd", 0)]
    segmentations = [annotation.get("segmentation") for annotation in kept]
    if sound_codes(segmentations, len(kept) * [(height, width)]):
        codes = segmentations
    else:
        codes = [_code(record, i, one) for i, one in enumerate(segmentations)]
    classes = np.array([a["category_id"] for a in kept], dtype=np.int64)
    vehicles = np.array([a.get("vehicle_id", 0) for a in kept], dtype=np.int64)
    return codes, classes, vehicles


def _code(record: dict[str, Any], index: int, segmentation: Any) -> dict[str, Any]:
    try:
        return run_length_code(segmentation, record["height"], record["width"])
    except SAVError as error:
        raise SAVError(f"{record.get('file_name')}: annotation {index}: {error}") from error


def load_instance_masks(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode all instances of a record at once, see :func:`load_instance_codes`; no crowds.

    Returns:
        masks (N, H, W) uint8 of 0 and 1, class ids (N,) int64, vehicle ids (N,) int64.
    """
    codes, classes, vehicles = load_instance_codes(record)
    return decode_codes(codes, record["height"], record["width"]), classes, vehicles


def part_map_from_annotations(record: dict[str, Any]) -> np.ndarray:
    """Draw the label map of a record, the larger instances first.

    Args:
        record: see :func:`load_instance_codes`.

    Returns:
        (H, W) uint8 at the original size: class id + 1, 0 for background.
    """
    codes, classes, _ = load_instance_codes(record)
    order = sorted(range(len(codes)), key=lambda i: -int(mask_area(codes[i])))
    labels = [classes[i] + 1 for i in order]
    return paint_labels([codes[i] for i in order], labels, record["height"], record["width"])


def vehicle_map_from_annotations(record: dict[str, Any]) -> np.ndarray:
    """Where vehicles are: the convex hull of each one's parts.

    Between the parts that are annotated lie others that are not, such as fenders.

    Args:
        record: see :func:`load_instance_codes`.

    Returns:
        (H, W) uint8 at the original size: 1 for a vehicle, 0 for anything else.
    """
    codes, _, vehicles = load_instance_codes(record)
    height, width = record["height"], record["width"]
    labels = np.zeros((height, width), dtype=np.uint8)
    for vehicle in np.unique(vehicles):
        whole = merge([codes[i] for i in np.flatnonzero(vehicles == vehicle)])
        (mask,) = decode_codes([whole], height, width)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        if outlines:
            cv2.fillConvexPoly(labels, cv2.convexHull(np.concatenate(outlines)), 1)
    return labels
