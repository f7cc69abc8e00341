"""What the predictor takes for a photo, and for the boxes of vehicles in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sav.errors import SAVError
from sav.formats.images import image_to_rgb, read_rgb

PhotoLike = str | Path | Image.Image | np.ndarray | torch.Tensor


def to_array(photo: PhotoLike) -> np.ndarray:
    """The pixels of a photo.

    Args:
        photo: a path or a PIL image, both read by the rules of :mod:`sav.formats.images` (turned
            upright by EXIF); an array (H, W, 3) or a tensor (3, H, W), both uint8 RGB.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        SAVError: it is no photo, or the file cannot be read.
    """
    if isinstance(photo, str | os.PathLike):
        return read_rgb(photo)
    if isinstance(photo, Image.Image):
        return image_to_rgb(photo)
    if isinstance(photo, torch.Tensor):
        if photo.ndim != 3 or photo.shape[0] != 3:
            raise SAVError(f"image has shape {tuple(photo.shape)}; give a tensor (3, H, W), RGB")
        photo = photo.detach().cpu().permute(1, 2, 0).numpy()
    if not isinstance(photo, np.ndarray):
        kind = type(photo).__name__
        raise SAVError(f"image is a {kind}; give a path, a PIL image, an array or a tensor")
    if photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
        raise SAVError(f"image has shape {photo.shape}; give an array (H, W, 3) in RGB order")
    if photo.dtype != np.uint8:
        raise SAVError(f"image has dtype {photo.dtype}; give uint8, 0 to 255")
    return photo


def whole_pixels(
    boxes: Sequence[Sequence[float]] | np.ndarray, size: tuple[int, int]
) -> list[tuple[int, int, int, int]]:
    """Check XYXY boxes, and round them outwards, as far as the photo (height, width) goes."""
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SAVError(f"boxes are no (M, 4) numbers: {error}") from error
    if array.size == 0:
        return []
    if array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all():
        raise SAVError(
            f"boxes have shape {array.shape}; give (M, 4) numbers: left, top, right, bottom"
        )
    height, width = size
    least, most = np.floor(array[:, :2]), np.ceil(array[:, 2:])
    whole = np.hstack([least, most]).clip(0, [width, height, width, height]).astype(int)
    for row, (left, top, right, bottom) in enumerate(whole.tolist()):
        if left >= right or top >= bottom:
            raise SAVError(
                f"box {row}, {array[row].tolist()}, has no pixel in the photo of {width}x{height}; "
                "give left, top, right, bottom in pixels"
            )
    return [tuple(box) for box in whole.tolist()]
