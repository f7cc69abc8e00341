"""Where the names of instances go in a drawing."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

_PULL = 4.0
"""What a name pays for lying as far from its instance as the diagonal, in masks hidden."""


def place_labels(
    canvas_size: tuple[int, int],
    pixels: Sequence[np.ndarray],
    label_sizes: Sequence[tuple[int, int]],
    cell: int,
) -> list[tuple[int, int] | None]:
    """Find for each name the place where it hides the least, near its instance.

    To hide a whole mask costs the same for a small and a large one, and names hide no others. The
    costs of all places are had at once, on a grid.

    Args:
        canvas_size: height, width in pixels.
        pixels: of each instance, row and column (n, 2), spread evenly over it, n > 0. The first
            instance chooses its place first.
        label_sizes: height, width of each name in pixels.
        cell: side of the grid's cells in pixels.

    Returns:
        Row and column of each name's top left corner, all of it inside the canvas; None for a name
        that is larger than the canvas.
    """
    grid = np.maximum(np.array(canvas_size) // cell, 1)
    costs = np.zeros(grid)
    for points in pixels:
        rows, columns = np.minimum(points // cell, grid - 1).T
        np.add.at(costs, (rows, columns), 1 / len(points))
    places: list[tuple[int, int] | None] = []
    for points, size in zip(pixels, label_sizes, strict=True):
        rows, columns = (-(-side // cell) for side in size)
        if rows > grid[0] or columns > grid[1]:
            places.append(None)
            continue
        row, column = _cheapest(costs, rows, columns, middle_of(points) / cell)
        costs[row : row + rows, column : column + columns] += len(pixels)
        places.append((row * cell, column * cell))
    return places


def middle_of(points: np.ndarray) -> np.ndarray:
    """Return the point of (n, 2) nearest to their mean, which may lie between two pieces."""
    return points[np.square(points - points.mean(axis=0)).sum(axis=1).argmin()]


def _cheapest(costs: np.ndarray, rows: int, columns: int, target: np.ndarray) -> tuple[int, int]:
    """Return the corner of the window that costs least, with its middle near a target."""
    total = cv2.integral(costs)
    covered = total[rows:] - total[:-rows]
    covered = covered[:, columns:] - covered[:, :-columns]
    y, x = np.ogrid[: covered.shape[0], : covered.shape[1]]
    apart = np.hypot(y + rows / 2 - target[0], x + columns / 2 - target[1])
    cheapest = int((covered + _PULL * apart / np.hypot(*costs.shape)).argmin())
    return divmod(cheapest, covered.shape[1])
