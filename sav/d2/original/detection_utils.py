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
    transform_instance_annotations,
)
from detectron2.structures import BitMasks, Instances, PolygonMasks
from PIL import Image

from sav.errors import SAVError

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
    try:
        return _original.read_image(str(file_name), format)
    except Image.DecompressionBombError as error:
        raise SAVError(f"{file_name}: the image is too large to be safe; shrink it") from error
    except FileNotFoundError as error:
        raise SAVError(f"{file_name}: no such image") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise SAVError(f"{file_name}: cannot be read as an image ({error})") from error


def annotations_to_instances(
    annos: list[dict[str, Any]], image_size: tuple[int, int], mask_format: str = "polygon"
) -> Instances:
    """Gather the annotations of an image; without any, ``gt_masks`` is empty, not absent."""
    instances = _original.annotations_to_instances(annos, image_size, mask_format)
    if not annos:
        empty = torch.zeros(0, *image_size, dtype=torch.bool)
        instances.gt_masks = PolygonMasks([]) if mask_format == "polygon" else BitMasks(empty)
    return instances
