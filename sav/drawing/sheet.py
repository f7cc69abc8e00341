"""Sheets: rows of captioned pictures on white."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sav.errors import SAVError
from sav.files import atomic_path

_GAP = 8
_LINE = 24
"""Height of a line of a caption in pixels."""

_FONT = 18
_TEXT = (40, 40, 40)


class Panel(NamedTuple):
    """A picture of a sheet.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        caption: lines above it; without any it belongs to the caption on its left.
    """

    picture: np.ndarray
    caption: Sequence[str] = ()


def write_sheet(path: Path, rows: Sequence[Sequence[Panel]]) -> None:
    """Write a sheet to an image file.

    Args:
        path: the file; its ending says which format.
        rows: see :func:`compose_sheet`.

    Raises:
        SAVError: the file cannot be written, or its ending is not that of an image.
    """
    sheet = Image.fromarray(compose_sheet(rows))
    with atomic_path(path) as temporary:
        try:
            sheet.save(temporary)
        except ValueError as error:
            raise SAVError(f"{path}: give the name of an image file, such as x.png") from error


def compose_sheet(rows: Sequence[Sequence[Panel]]) -> np.ndarray:
    """Put pictures and their captions on white.

    Args:
        rows: at least one panel; all columns are as wide as the widest picture.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    width = max(panel.picture.shape[1] for row in rows for panel in row)
    strips = [_compose_row(row, width, max(map(len, rows))) for row in rows]
    gap = np.full((_GAP, strips[0].shape[1], 3), 255, dtype=np.uint8)
    return np.concatenate([part for strip in strips for part in (gap, strip)][1:])


def _compose_row(row: Sequence[Panel], width: int, columns: int) -> np.ndarray:
    lines = max(len(panel.caption) for panel in row)
    head = lines and lines * _LINE + _GAP
    height = head + max(panel.picture.shape[0] for panel in row)
    strip = Image.new("RGB", (columns * (width + _GAP) - _GAP, height), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=_FONT)
    end = strip.width + _GAP
    for column, panel in reversed(list(enumerate(row))):
        left = column * (width + _GAP)
        strip.paste(Image.fromarray(panel.picture), (left, head))
        for line, text in enumerate(panel.caption):
            place = left + _GAP // 2, _GAP // 2 + line * _LINE
            draw.text(place, _fit(text, font, end - left - 2 * _GAP), fill=_TEXT, font=font)
        if panel.caption:
            end = left
    return np.asarray(strip)


def _fit(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Cut the start of a text that is too wide: the end of a key tells it apart."""
    shorter = (f"...{text[start:]}" for start in range(len(text)))
    return next((t for t in (text, *shorter) if font.getlength(t) <= width), "...")
