"""Reading photos: their size and their pixels.

EXIF rotation is always applied: LabelMe draws on the rotated photo, Detectron2 reads it rotated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from sav.errors import SAVError

_QUARTER_TURNS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
"""Files that are taken for photos, by the lower-case ends of their names."""

LETTERBOX = "long side to canvas, area or bilinear, masks nearest, top left"
"""Names what :mod:`sav.data.letterbox` does; the model, which imports nothing from there, puts it
into the fingerprint of galleries."""


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image and turn what may go wrong, decoding included, into user errors.

    Raises:
        SAVError: the image is missing, broken or too large; the message leaves out its path.
    """
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError as error:
        raise SAVError("there is no such image") from error
    except Image.DecompressionBombError as error:
        raise SAVError(f"the image is too large: {error}") from error
    # PIL reports broken files as OSError, and broken PNG chunks as SyntaxError or ValueError.
    except (OSError, SyntaxError, ValueError) as error:
        raise SAVError(f"the image cannot be read: {error}") from error


def read_image_size(path: Path) -> tuple[int, int]:
    """Size of an image after its EXIF rotation.

    The pixels are decoded too, at low resolution where the format allows it, so that a truncated
    file is found while a data set is prepared and not in the middle of a training run.

    Returns:
        width, height in pixels.

    Raises:
        SAVError: see :func:`open_image`.
    """
    with open_image(path) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation) in _QUARTER_TURNS
        size = image.size[::-1] if turned else image.size
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        image.load()
    return size


def read_rgb(path: str | Path) -> np.ndarray:
    """Read a photo, with its EXIF rotation applied.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        SAVError: the image is missing, broken or too large.
    """
    try:
        with open_image(Path(path)) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except SAVError as error:
        raise SAVError(f"{path}: {error}") from error
