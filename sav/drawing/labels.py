"""Names of instances on a drawing, with lines that lead to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sav.drawing.label_places import middle_of, place_labels


class Label(NamedTuple):
    """The name of an instance.

    Attributes:
        text: a few words.
        pixels: row and column (n, 2) of the instance, spread evenly over it, n > 0.
        color: (r, g, b) in 0 to 255 of text and line.
        outline: width of the instance's outline in pixels.
    """

    text: str
    pixels: np.ndarray
    color: Sequence[int]
    outline: int


def write_labels(canvas: np.ndarray, labels: Sequence[Label]) -> None:
    """Write names; the first one chooses its place first.

    Args:
        canvas: (H, W, 3) uint8 RGB; changed in place.
        labels: one that is wider than the canvas is left out.
    """
    font = ImageFont.load_default(size=max(np.sqrt(canvas.shape[0] * canvas.shape[1]) / 45, 9.0))
    height = sum(font.getmetrics())
    sizes = [(height, round(font.getlength(label.text)) + 4) for label in labels]
    pixels = [label.pixels for label in labels]
    places = place_labels(canvas.shape[:2], pixels, sizes, cell=max(1, height // 4))
    shown = [row for row in zip(labels, places, sizes, strict=True) if row[1] is not None]
    for label, place, size in shown:
        _connect(canvas, label, np.array([place, np.add(place, size)]))
    # After all lines, so that none crosses a name.
    for label, (top, left), (height, width) in shown:
        _write(canvas[top : top + height, left : left + width], label, font)


def _connect(canvas: np.ndarray, label: Label, corners: np.ndarray) -> None:
    """Draw a line from a name to its instance, unless it lies on it."""
    apart = np.square(label.pixels - label.pixels.clip(*corners)).sum(axis=1)
    if apart.min() == 0:
        return
    # The line ends between edge and middle: it points into an instance and hides little.
    tip = (label.pixels[apart.argmin()] + middle_of(label.pixels)) // 2
    start, end = tip[::-1].tolist(), tip.clip(*corners)[::-1].tolist()
    width = (label.outline + 1) // 2
    cv2.line(canvas, start, end, (0, 0, 0), width + 1, cv2.LINE_AA)
    cv2.line(canvas, start, end, label.color, width, cv2.LINE_AA)


def _write(plate: np.ndarray, label: Label, font: ImageFont.FreeTypeFont) -> None:
    """Write a name in the middle of its place, which becomes dark."""
    image = Image.fromarray(plate // 4)
    middle = plate.shape[1] / 2, plate.shape[0] / 2
    ImageDraw.Draw(image).text(middle, label.text, font=font, fill=label.color, anchor="mm")
    plate[:] = np.asarray(image)
