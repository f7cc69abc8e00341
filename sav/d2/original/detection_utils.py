"""Detectron2's mapper utilities, mended where they crash or speak unclearly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import detection_utils as _original
from detectron2.data.detection_utils import (
    SizeMismatchError,
    check_image_size,
    filter_empty_instances,
)
from detectron2.structures import BitMasks, Instances, PolygonMasks

from sav.d2.shared.image_errors import reading

__all__ = [
    "SizeMismatchError",
    "annotations_to_instances",
    "check_image_size",
    "filter_empty_instances",
    "read_image",
    "transform_instance_annotations",
]


def read_image(file_name: str | Path, format: str | None = None) -> np.ndarray:
    """Read an image the right way up; see Detectron2.

    Raises:
        SAVError: when the file is missing, broken or far too large.
    """
    with reading(file_name):
        return _original.read_image(str(file_name), format)


def transform_instance_annotations(
    annotation: dict[str, Any], transforms: Any, image_size: tuple[int, int], **kwargs: Any
) -> dict[str, Any]:
    """Apply transforms to an annotation, whose integer coordinates may become fractions."""
    annotation["bbox"] = [float(value) for value in annotation["bbox"]]
    if isinstance(annotation.get("segmentation"), list):
        polygons = [np.asarray(p, dtype=np.float64) for p in annotation["segmentation"]]
        annotation["segmentation"] = polygons
    return _original.transform_instance_annotations(annotation, transforms, image_size, **kwargs)


def annotations_to_instances(
    annos: list[dict[str, Any]], image_size: tuple[int, int], mask_format: str = "polygon"
) -> Instances:
    """Gather the annotations of an image, which may be none, and RLE whatever the mask format."""
    if not all(isinstance(a.get("segmentation", []), list) for a in annos):
        mask_format = "bitmask"
    instances = _original.annotations_to_instances(annos, image_size, mask_format)
    if not annos:
        empty = torch.zeros(0, *image_size, dtype=torch.bool)
        instances.gt_masks = PolygonMasks([]) if mask_format == "polygon" else BitMasks(empty)
    return instances
