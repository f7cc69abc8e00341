"""The pixels of a label map, and from values and colours to names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sav.errors import SAVError
from sav.formats.images import open_image
from sav.formats.labels import Unnamed
from sav.formats.mask_names import MaskNames, pack_colors
from sav.formats.records import Shape

IGNORED = 255
"""The value of pixels about which nothing is said, where no class has it."""
_IGNORED_COLOR = 0xE0E0C0
"""The same in the palette of Pascal VOC."""
_LARGEST = 2**24
_MOST_UNKNOWN = 10
_MOST_CLASSES = 1000
_NAMES_KEY = "sav:classes"


@dataclass(frozen=True)
class MaskPixels:
    """A label map as its file has it.

    Attributes:
        values: (H, W) int32, indices or packed colours.
        colored: whether they are colours.
        palette: (N,) int32, the packed colour of each index; None: it has none.
        names: that the file itself holds, as SAV writes them.
    """

    values: np.ndarray
    colored: bool
    palette: np.ndarray | None
    names: MaskNames


@dataclass(frozen=True)
class Labelled:
    """The classes of a label map.

    Attributes:
        labels: (H, W) uint16, 0 is the background.
        names: the label of each, the first is of none.
        unknown: a shape with its error for each value that is no class.
        ignored: whether there are pixels about which nothing is said.
    """

    labels: np.ndarray
    names: list[Any]
    unknown: list[Shape]
    ignored: bool


def names_in_png(names: list[str]) -> PngInfo:
    """What makes a PNG say itself which class its values 1, 2, ... are."""
    info = PngInfo()
    info.add_text(_NAMES_KEY, json.dumps(names))
    return info


def read_pixels(file: Path, height: int, width: int) -> MaskPixels:
    """Read a label map of a photo of this size.

    Raises:
        SAVError: it is broken, or has another size; the message leaves out its path.
    """
    with open_image(file) as image:
        # Before the pixels are read: a small file may hold a huge picture.
        if image.size != (width, height):
            columns, rows = image.size
            raise SAVError(f"the mask is {columns}x{rows}, but the image is {width}x{height}")
        names, palette = _names_in(image), None
        if image.mode == "P":
            colors = np.array(image.getpalette("RGB"), dtype=np.int32).reshape(-1, 3)
            palette = pack_colors(colors)
        elif image.mode not in ("1", "L", "LA", "I", "I;16", "I;16B"):
            values = pack_colors(np.asarray(image.convert("RGB")))
            return MaskPixels(values, colored=True, palette=None, names=names)
        pixels = np.asarray(image)
    values = (pixels if pixels.ndim == 2 else pixels[..., 0]).astype(np.int32)
    if values.min() < 0 or values.max() >= _LARGEST:
        raise SAVError("it holds values that are no indices")
    return MaskPixels(values, colored=False, palette=palette, names=names)


def _names_in(image: Image.Image) -> MaskNames:
    text = image.info.get(_NAMES_KEY)
    names = json.loads(text) if isinstance(text, str) else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SAVError(f"its text '{_NAMES_KEY}' is no list of names")
    return MaskNames("the PNG", dict(enumerate(names, start=1))) if names else MaskNames()


def label_pixels(pixels: MaskPixels, names: MaskNames) -> Labelled:
    """Say which class each pixel is of.

    Without names an index is the unnamed class ``index - 1``.

    Args:
        pixels: see :class:`MaskPixels`.
        names: of its values or colours.

    Raises:
        SAVError: colours have no names, or the picture is no label map.
    """
    values, known = _known(pixels, names)
    present = np.zeros(int(values.max()) + 1, dtype=bool)
    present[values] = True
    found = np.flatnonzero(present).tolist()
    if known is None:
        known = {value: Unnamed(value - 1) for value in found if value not in (0, IGNORED)}
    classes: dict[Any, int] = {None: 0}
    table = np.zeros(len(present), dtype=np.uint16)
    for value in (value for value in known if value < len(present) and present[value]):
        table[value] = classes.setdefault(known[value], len(classes))
    others = [value for value in found if value and value not in known]
    unknown = [value for value in others if value != _ignored(pixels)]
    if len(unknown) > _MOST_UNKNOWN or len(classes) > _MOST_CLASSES:
        raise SAVError(
            f"it holds {len(found)} values, and {len(unknown)} of them are no class, such as "
            f"{_shown(pixels, max(unknown or found))}: is it a label map, and was it neither "
            "resized nor saved with loss?"
        )
    where = names.source.rsplit("/", 1)[-1]
    shapes = [
        Shape(_shown(pixels, value), None, error=f"{where} has no name for it") for value in unknown
    ]
    return Labelled(table[values], list(classes), shapes, len(unknown) < len(others))


def _known(pixels: MaskPixels, names: MaskNames) -> tuple[np.ndarray, dict[int, Any] | None]:
    """The values to go by, and the name of each; None: no file has names."""
    values = pixels.values
    if pixels.colored and not names.colors:
        red = values >> 16
        if not (values == red * 0x010101).all():
            raise SAVError(
                "it is coloured, and no file says which class has which colour; put a labelmap.txt "
                "with lines 'name:red,green,blue' beside the masks"
            )
        values = red
    elif pixels.colored:
        return values, dict(names.colors)
    elif pixels.palette is not None and names.colors:
        # An unused index may repeat a colour; a used one that has no colour stays unknown.
        colors = enumerate(pixels.palette.tolist())
        return values, {i: names.colors[color] for i, color in colors if color in names.colors}
    elif names.colors and all(color % 0x010101 == 0 for color in names.colors):
        return values, {color & 0xFF: name for color, name in names.colors.items()}
    return values, dict(names.values) if names.source else None


def _ignored(pixels: MaskPixels) -> int:
    return _IGNORED_COLOR if pixels.colored else IGNORED


def _shown(pixels: MaskPixels, value: int) -> str:
    if pixels.colored:
        return f"colour {value >> 16},{value >> 8 & 255},{value & 255}"
    if pixels.palette is not None and value < len(pixels.palette):
        color = int(pixels.palette[value])
        return f"value {value} (colour {color >> 16},{color >> 8 & 255},{color & 255})"
    return f"value {value}"


def objects_of(pixels: MaskPixels) -> np.ndarray:
    """The number of each pixel's object, (H, W) int32; 0 where nothing is said."""
    eight_bits = pixels.colored or pixels.values.max() <= IGNORED
    return (
        np.where(pixels.values == _ignored(pixels), 0, pixels.values)
        if eight_bits
        else pixels.values
    )
