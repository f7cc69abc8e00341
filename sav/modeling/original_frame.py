"""Where a photo lies on the canvas, and how maps over the canvas are enlarged to the photo."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch


@dataclass(frozen=True)
class Frame:
    """Where a photo lies: at the top left corner of a square canvas, resized.

    Attributes:
        original: height and width of the photo as it was taken.
        resized: height and width in which it lies on the canvas (SAM's ``input_size``).
        canvas: side S.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    canvas: int

    @classmethod
    def of(cls, item: dict[str, Any], canvas: int) -> Frame:
        """From a model's input, with "image", "height" and "width"."""
        return cls((int(item["height"]), int(item["width"])), item["image"].shape[1:], canvas)


class Enlarged(NamedTuple):
    """A piece of an enlarged map.

    Attributes:
        row: of the map among those enlarged.
        place: the rows and the columns of the photo that it covers, in pixels.
        values: (height, width) float32 of the piece.
    """

    row: int
    place: tuple[slice, slice]
    values: torch.Tensor

    def within(self, photo: torch.Tensor) -> torch.Tensor:
        """The same piece of something (H, W) of the photo's size, which can be written to."""
        return photo[self.place]


def enlarge(maps: torch.Tensor, threshold: float, frame: Frame) -> Iterator[Enlarged]:
    """Enlarge maps to the original photo by bilinear interpolation, where they can matter.

    Most parts are small, and a photo has many more pixels than a map. So each map is enlarged
    inside the box alone in which it can exceed the threshold, as a product of two matrices.

    Args:
        maps: (N, h, w) float over the square canvas.
        threshold: of interest are values above it.
        frame: of the photo.

    Yields:
        A piece for each map that exceeds the threshold somewhere; all that do so lie in it.
    """
    height, width = maps.shape[1:]
    rows = _Axis(height, frame.resized[0], frame.original[0], frame.canvas, maps.device)
    columns = _Axis(width, frame.resized[1], frame.original[1], frame.canvas, maps.device)
    shown = maps[:, : rows.cells, : columns.cells].detach().float()
    for number, box in enumerate(mask_boxes(shown > threshold).int().tolist()):
        left, top, right, bottom = box
        down, high = rows.spread(top, bottom)
        along, wide = columns.spread(left, right)
        values = rows.weights[down, high] @ shown[number, high, wide]
        values = values @ columns.weights[along, wide].T
        if values.numel():
            yield Enlarged(number, (down, along), values)


class _Axis:
    """How cells along one axis are enlarged to pixels of the photo.

    Args:
        cells: along the canvas.
        resized: pixels of the photo on the canvas.
        original: pixels of the photo.
        canvas: side.
        device: of the maps.

    Attributes:
        cells: that the photo can see.
        weights: (original, cells) float32, of each cell in each pixel.
    """

    def __init__(
        self, cells: int, resized: int, original: int, canvas: int, device: torch.device
    ) -> None:
        seen = cells * resized / canvas  # may end between two cells
        self.cells = min(cells, math.ceil(seen) + 1)
        # As F.interpolate does it, whose size by a scale is at times a pixel short.
        place = (torch.arange(original, dtype=torch.float64) + 0.5) * (seen / original) - 0.5
        place = place.clamp(0, self.cells - 1)
        distance = (place[:, None] - torch.arange(self.cells)).abs()
        weights = (1 - distance).clamp(min=0).float()
        self._nearest = weights.argmax(1).numpy()
        self.weights = weights.to(device)

    def spread(self, first: int, end: int) -> tuple[slice, slice]:
        """All pixels that see any of the cells from ``first`` to ``end``, and what cells they see.

        No pixels where there are no cells.
        """
        if first == end:
            return slice(0, 0), slice(0, 0)
        # A pixel lies between two cells, and is nearest to one of them.
        start, stop = np.searchsorted(self._nearest, (first - 1, end + 1))
        return slice(int(start), int(stop)), slice(max(first - 2, 0), end + 2)


def mask_boxes(masks: torch.Tensor) -> torch.Tensor:
    """Tight XYXY pixel boxes (M, 4) float32 of bool masks (M, H, W); zeros for empty ones."""
    columns, rows = masks.any(1), masks.any(2)
    left, top = columns.int().argmax(1), rows.int().argmax(1)
    right = masks.shape[2] - columns.flip(1).int().argmax(1)
    bottom = masks.shape[1] - rows.flip(1).int().argmax(1)
    boxes = torch.stack([left, top, right, bottom], dim=1).float()
    return boxes * columns.any(1, keepdim=True)
