"""Detectron2 records -> masks and label maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from sav.errors import SAVError
from sav.formats.masks import decode_codes, run_length_code
from sav.formats.painting import topmost


def load_instance_masks(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode the instances of a record, crowds left out.

    Args:
        record: a Detectron2 record with "height", "width" and "annotations", whose segmentations
            are polygons or run-length codes.

    Returns:
        masks (N, H, W) uint8 of 0 and 1, class ids (N,) int64, vehicle ids (N,) int64.

    Raises:
        SAVError: a segmentation is not usable.
    """
    height, width = record["height"], record["width"]
    kept = [a for a in record.get("annotations", ()) if not a.get("iscrowd", 0)]
    codes = []
    for i, annotation in enumerate(kept):
        try:
            codes.append(run_length_code(annotation.get("segmentation"), height, width))
        except SAVError as error:
            raise SAVError(f"{record.get('file_name')}: annotation {i}: {error}") from error
    masks = decode_codes(codes, height, width)
    classes = np.array([a["category_id"] for a in kept], dtype=np.int64)
    vehicles = np.array([a.get("vehicle_id", 0) for a in kept], dtype=np.int64)
    return masks, classes, vehicles


def part_map_from_annotations(record: dict[str, Any]) -> np.ndarray:
    """Draw the label map of a record, the larger instances first.

    Args:
        record: see :func:`load_instance_masks`.

    Returns:
        (H, W) uint8 at the original size: class id + 1, 0 for background.
    """
    masks, classes, _ = load_instance_masks(record)
    # The last value is that of the background, -1.
    values = np.append(classes + 1, 0).astype(np.uint8)
    return values[topmost(masks, masks.shape[1:])]
