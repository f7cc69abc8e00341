"""Reading photos: their size and their pixels, by the same rules for every command.

- EXIF rotation is applied: LabelMe draws on the rotated photo, Detectron2 reads it rotated.
- Of an animation, or a file of several pages, the first picture is taken.
- What is transparent is seen on white; hidden colours stay hidden.
- Of 16 bits the upper 8 are taken. Floats are 0 to 1, which are multiplied by 255, or 0 to 255.
- Palettes, grey and CMYK become RGB; colour profiles are not applied.

What no rule fits, such as 12 bits in 16 or a float that is not a number, is an error.
"""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from sav.errors import SAVError
from sav.formats.jpeg import is_whole_jpeg

_QUARTER_TURNS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""
BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError),
    *(struct.error, Image.DecompressionBombError),
)
"""What PIL raises on files that are broken, or on modes that it cannot convert."""
_LEAST_WHITE = 4096
"""A 16-bit photo that is darker everywhere holds fewer bits, and would be black in 8."""

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".avif", ".tif", ".tiff"}
)
"""Files that are taken for photos, by the lower-case ends of their names."""

PICTURE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "AVIF", "TIFF", "PPM", "GIF")
"""What PIL may take a file's bytes for, whatever its name is. It knows more, some of which start
other programs, such as Ghostscript for PostScript."""

LETTERBOX = "long side to canvas, area or bilinear, masks nearest, top left"
"""Names what :mod:`sav.data.letterbox` does; the model, which imports nothing from there, puts it
into the fingerprint of galleries."""


def list_left_out(paths: Iterable[Path]) -> str:
    """Name what of a folder is not read, such as "3 files left out: .gif, .heic (2)".

    Args:
        paths: files.

    Returns:
        empty where there are none.
    """
    kinds = Counter(path.suffix.lower() or path.name for path in paths)
    names = [f"{kind} ({n})" if n > 1 else kind for kind, n in sorted(kinds.items())]
    files = "1 file" if kinds.total() == 1 else f"{kinds.total()} files"
    return f"{files} left out: {', '.join(names)}" if names else ""


class _ImageFile(io.BufferedReader):
    """A file that is never asked for more bytes than it has.

    A broken PNG says that it has gigabytes, and Python takes memory for all before it reads.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("rb", buffering=0))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to so many bytes, or all."""
        return super().read(None if size is None else min(size, self._size))


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image and turn what may go wrong, decoding included, into user errors.

    Raises:
        SAVError: the image is missing, broken or too large; the message leaves out its path.
    """
    try:
        # Not by its name: PIL would map the file into memory, and garbles turned TIFFs then.
        with _ImageFile(path) as stream, Image.open(stream, formats=PICTURE_FORMATS) as image:
            yield image
    except FileNotFoundError as error:
        raise SAVError("there is no such image") from error
    except Image.DecompressionBombError as error:
        most = 2 * Image.MAX_IMAGE_PIXELS / 1e6  # PIL's limit is where it warns
        raise SAVError(f"the image is too large: more than {most:.0f} million pixels") from error
    except Image.UnidentifiedImageError as error:
        raise SAVError("the image cannot be read: it is broken, or of an unknown format") from error
    except BROKEN as error:
        raise SAVError(f"the image cannot be read: {error}") from error


def read_image_size(path: Path) -> tuple[int, int]:
    """Size of an image after its EXIF rotation.

    Unless a JPEG is whole by its markers, the pixels are decoded too, at low resolution where the
    format allows it, so that a truncated file is found while a data set is prepared and not in the
    middle of a training run. So are pixels of more than 8 bits that :func:`read_rgb` refuses.

    Returns:
        width, height in pixels.

    Raises:
        SAVError: see :func:`open_image`.
    """
    with open_image(path) as image:
        size = image.size
        if image.format != "JPEG" or not is_whole_jpeg(path):
            image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
            if _has_more_bits(image):
                _eight_bits(image)
        # Now PIL has turned a TIFF itself, and has read what stands behind a PNG's pixels.
        turned = image.getexif().get(ExifTags.Base.Orientation) in _QUARTER_TURNS
    return size[::-1] if turned else size


def read_rgb(path: str | Path) -> np.ndarray:
    """Read a photo, by the rules of this module.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        SAVError: the image is missing, broken or too large, or no rule fits its pixels.
    """
    try:
        with open_image(Path(path)) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(_to_rgb(image))
    except SAVError as error:
        raise SAVError(f"{path}: {error}") from error


def image_to_rgb(image: Image.Image) -> np.ndarray:
    """The pixels of an open image, by the rules of this module: (H, W, 3) uint8 RGB.

    Raises:
        SAVError: its file is broken, or no rule fits its pixels.
    """
    try:
        return np.asarray(_to_rgb(ImageOps.exif_transpose(image)))
    except BROKEN as error:
        raise SAVError(f"the image cannot be read: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if _has_more_bits(image):
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _has_more_bits(image: Image.Image) -> bool:
    """Whether its numbers are wider than 8 bits; PIL itself takes the upper 8 of 16 in colour."""
    return image.mode == "F" or image.mode.startswith("I")


def _eight_bits(image: Image.Image) -> np.ndarray:
    """(H, W) uint8 of a grey image of integers or floats.

    Raises:
        SAVError: they are no brightness by the rules of this module.
    """
    values = np.asarray(image)
    least, most = values.min(), values.max()
    if values.dtype.kind == "f":
        if not (least >= 0 and most <= 255):  # so is no comparison with a NaN
            raise SAVError(
                f"its floats run from {least:g} to {most:g}; they must be 0 to 1, or 0 to 255"
            )
        return np.rint(values * 255 if most <= 1 else values).astype(np.uint8)
    if least < 0 or most > 65535:
        raise SAVError(f"its integers run from {least} to {most}; they must be 0 to 65535")
    if 0 < most < _LEAST_WHITE:
        raise SAVError(
            f"its values end at {most} of 65535 and would be black; save it with 8 bits, or use "
            "all 16"
        )
    return (values >> 8).astype(np.uint8)
