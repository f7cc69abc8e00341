"""Names of instances on a drawing, with lines that lead to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

_PULL = 4.0
"""What a name pays for lying as far from its instance as the diagonal, in masks hidden."""


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
    """Write each name where it hides the least, near its instance; the first one chooses first.

    To hide a whole mask costs the same for a small and a large one, and names hide no others. The
    costs of all places are had at once, on a grid.

    Args:
        canvas: (H, W, 3) uint8 RGB; changed in place.
        labels: one that is wider than the canvas is left out.
    """
    font = ImageFont.load_default(size=max(np.sqrt(canvas.shape[0] * canvas.shape[1]) / 45, 9.0))
    height = sum(font.getmetrics())
    cell = max(1, height // 4)
    grid = np.maximum(np.array(canvas.shape[:2]) // cell, 1)
    costs = np.zeros(grid)
    for label in labels:
        rows, columns = np.minimum(label.pixels // cell, grid - 1).T
        np.add.at(costs, (rows, columns), 1 / len(label.pixels))
    placed = []
    for label in labels:
        size = np.array([height, round(font.getlength(label.text)) + 4])
        window = -(-size // cell)
        if (window > grid).any():
            continue
        place = _cheapest(costs, window, _middle(label.pixels) / cell)
        costs[tuple(map(slice, place, place + window))] += len(labels)
        corners = np.array([place * cell, place * cell + size])
        _connect(canvas, label, corners)
        placed.append((label, tuple(map(slice, *corners))))
    # After all lines, so that none crosses a name.
    for label, place in placed:
        _write(canvas[place], label, font)


def _middle(points: np.ndarray) -> np.ndarray:
    """Return the point of (n, 2) nearest to their mean, which may lie between two pieces."""
    return points[np.square(points - points.mean(axis=0)).sum(axis=1).argmin()]


def _cheapest(costs: np.ndarray, window: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the corner of the window that costs least, with its middle near a target."""
    rows, columns = window
    total = cv2.integral(costs)
    covered = total[rows:] - total[:-rows]
    covered = covered[:, columns:] - covered[:, :-columns]
    y, x = np.ogrid[: covered.shape[0], : covered.shape[1]]
    apart = np.hypot(y + rows / 2 - target[0], x + columns / 2 - target[1])
    cheapest = (covered + _PULL * apart / np.hypot(*costs.shape)).argmin()
    return np.array(np.unravel_index(cheapest, covered.shape))


def _connect(canvas: np.ndarray, label: Label, corners: np.ndarray) -> None:
    """Draw a line from a name to its instance, unless it lies on it."""
    apart = np.square(label.pixels - label.pixels.clip(*corners)).sum(axis=1)
    if apart.min() == 0:
        return
    # The line ends between edge and middle: it points into an instance and hides little.
    tip = (label.pixels[apart.argmin()] + _middle(label.pixels)) // 2
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
