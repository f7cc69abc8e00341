"""Masks within their own boxes: whole photos of camera size would take most of the time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np

from sav.formats.run_lengths import split_run_lengths


class Crop(NamedTuple):
    """The part of a photo in which a mask lies.

    Attributes:
        top: its first row.
        left: its first column.
        padded: (h + 1, w + 1) bool, the mask, and a row and a column without it.
    """

    top: int
    left: int
    padded: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(h, w) bool."""
        return self.padded[:-1, :-1]

    def window(self) -> tuple[slice, slice]:
        """Its rows and columns in the photo."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


class Outline(NamedTuple):
    """Where a mask begins and ends in each column of its box.

    Attributes:
        top: first row of the box.
        left: its first column.
        shape: rows and columns of :attr:`Crop.padded`.
        turns: (n,) int64, places in that array at which the mask begins or ends, going down.
    """

    top: int
    left: int
    shape: tuple[int, int]
    turns: np.ndarray

    def draw(self) -> Crop:
        """The mask."""
        pixels = np.zeros(self.shape, dtype=np.uint8)
        pixels.ravel()[self.turns] = 1
        np.bitwise_xor.accumulate(pixels, axis=0, out=pixels)
        return Crop(self.top, self.left, pixels.view(bool))


def outlines(codes: Sequence[dict[str, Any]]) -> list[Outline]:
    """Read checked run-length codes of N masks of one size; without a pixel, a box has no side.

    All at once, as a step of numpy costs more than what it does for one of them.
    """
    ends = [lengths.cumsum() for lengths in split_run_lengths([code["counts"] for code in codes])]
    filled = [index for index, one in enumerate(ends) if len(one) > 1]
    found = [Outline(0, 0, (1, 1), np.zeros(0, dtype=np.int64))] * len(codes)
    if filled:
        drawn = _outlines([ends[index] for index in filled], int(codes[0]["size"][0]))
        for index, outline in zip(filled, drawn, strict=True):
            found[index] = outline
    return found


def _outlines(ends: Sequence[np.ndarray], rows: int) -> Iterator[Outline]:
    """The same of where runs end, counted column by column, in each of N masks with pixels."""
    starts = np.concatenate([one[:-1:2] for one in ends])
    stops = np.concatenate([one[1::2] for one in ends])
    runs = np.cumsum([0, *(len(one) // 2 for one in ends)])
    column, upper, lower, pieces = _by_column(starts, stops, rows)
    bounds = pieces[runs]
    first, count = bounds[:-1], np.diff(bounds)
    top, bottom = np.minimum.reduceat(upper, first), np.maximum.reduceat(lower, first)
    left, right = column[first], column[bounds[1:] - 1] + 1
    height, width = bottom - top + 1, right - left + 1
    place, row = column - np.repeat(left + top * width, count), np.repeat(width, count)
    turns = np.stack([place + upper * row, place + lower * row])
    boxes = np.stack([top, left, height, width], axis=1).tolist()
    for (y, x, *shape), (a, b) in zip(boxes, pairwise(bounds.tolist()), strict=True):
        yield Outline(y, x, tuple(shape), turns[:, a:b].ravel())


def _by_column(
    starts: np.ndarray, stops: np.ndarray, rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cut runs of pixels, counted column by column, where they go on in the next column.

    Args:
        starts: (n,) int64 first pixel of each.
        stops: (n,) int64 the one behind its last.
        rows: of the photo.

    Returns:
        Of m pieces the column, the first row and the one behind the last; and, (n + 1,), the first
        piece of each run, and m.
    """
    first = starts // rows
    upper, lower = starts - first * rows, stops - first * rows
    if lower.max() <= rows:
        return first, upper, lower, np.arange(len(first) + 1)
    counts = (lower - 1) // rows + 1
    pieces = np.concatenate([[0], counts.cumsum()])
    on = np.arange(pieces[-1]) - np.repeat(pieces[:-1], counts)  # columns after the run's first
    upper, lower = (np.repeat(side, counts) - on * rows for side in (upper, lower))
    return np.repeat(first, counts) + on, upper.clip(0), lower.clip(None, rows), pieces


def decode_crop(code: dict[str, Any]) -> Crop:
    """Expand a run-length code within its box alone; without a pixel, h and w are 0."""
    return outlines([code])[0].draw()


def runs_of_mask(mask: np.ndarray) -> np.ndarray:
    """The run lengths of a mask (H, W) of bool, or uint8 of 0 and 1.

    Returns:
        (n,) int64, those of zeros first; none but the first is 0.
    """
    rows, columns = mask.shape
    # OpenCV turns masks round, and finds their boxes, several times as fast as numpy.
    by_columns = mask.flags.f_contiguous and not mask.flags.c_contiguous
    rowwise = cv2.transpose(mask.T.view(np.uint8)) if by_columns else np.ascontiguousarray(mask)
    pixels = rowwise.view(np.uint8)
    left, top, width, height = cv2.boundingRect(pixels)
    # Below each column lies a pixel without mask, so that each ends where it does; but not if the
    # last pixel of a column and the first of the next one may belong to one run.
    stride = height + (height < rows)
    line = np.zeros(width * stride + 2, dtype=np.uint8)
    if width:
        turned = cv2.transpose(pixels[top : top + height, left : left + width])
        line[1:-1].reshape(width, stride)[:, :height] = turned
    turns = np.flatnonzero(line[1:] != line[:-1])
    column = turns // max(stride, 1)
    ends = np.zeros(len(turns) + 2, dtype=np.int64)
    ends[1:-1] = turns + column * (rows - stride) + (left * rows + top)
    ends[-1] = rows * columns
    lengths = ends[1:] - ends[:-1]
    return lengths if lengths[-1] else lengths[:-1]


def paint_labels(
    codes: Sequence[dict[str, Any]], labels: Iterable[int], height: int, width: int
) -> np.ndarray:
    """Draw masks into a label map, each over those before it.

    Returns:
        (height, width) uint8, 0 where no mask lies.
    """
    return paint_crops((outline.draw() for outline in outlines(codes)), labels, height, width)


def paint_crops(
    crops: Iterable[Crop], labels: Iterable[int], height: int, width: int
) -> np.ndarray:
    """The same of masks that are expanded."""
    label_map = np.zeros((height, width), dtype=np.uint8)
    for crop, label in zip(crops, labels, strict=True):
        np.copyto(label_map[crop.window()], np.uint8(label), where=crop.mask)
    return label_map
