"""What annotation tools draw beside polygons: rectangles, ellipses and small pictures of masks."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from PIL import Image

from sav.errors import SAVError
from sav.formats.images import BROKEN, PICTURE_FORMATS
from sav.formats.masks import Code, encode_mask, mask_box

_FURTHEST = 1e9
"""Larger numbers, in pixels, are taken for slips."""
_CORNERS = 128
"""Of a polygon that stands for an ellipse."""
_HALF_SEEN = 128
"""A pixel whose opacity, of 255, is at least that belongs to the mask."""


def number(value: Any, name: str) -> float:
    """A number of a file, where it may be a text.

    Args:
        value: as the file has it.
        name: what errors call it.

    Raises:
        SAVError: it is no number, not finite, or far from any photo.
    """
    try:
        known = float(value) if type(value) in (int, float, str) else math.nan
    except (ValueError, OverflowError):
        known = math.nan
    if not abs(known) <= _FURTHEST:
        raise SAVError(f"its {name} {str(value)[:40]!r} is not a number, or far from any photo")
    return known


def rectangle(
    x0: float, y0: float, x1: float, y1: float, *, turn: float = 0, about: Any = None
) -> list[float]:
    """A polygon [x0, y0, x1, y1, ...] of a rectangle.

    Args:
        x0: of a corner, in pixels, as all others.
        y0: of the corner.
        x1: of the opposite corner.
        y1: of the opposite corner.
        turn: in degrees, clockwise as the photo is seen.
        about: the point x, y that it turns about; None: its centre.
    """
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    return _turned(corners, turn, corners.mean(axis=0) if about is None else np.array(about))


def ellipse(x: float, y: float, a: float, b: float, turn: float = 0) -> list[float]:
    """A polygon [x0, y0, x1, y1, ...] of an ellipse.

    Args:
        x: of its centre, in pixels.
        y: of its centre.
        a: its radius along the rows, before it is turned.
        b: its radius along the columns.
        turn: in degrees, clockwise as the photo is seen.

    Raises:
        SAVError: a radius is not above 0.
    """
    if not (a > 0 and b > 0):
        raise SAVError("its radius is not above 0")
    angles = np.linspace(0, 2 * math.pi, _CORNERS, endpoint=False)
    centre = np.array([x, y])
    rim = centre + np.stack([a * np.cos(angles), b * np.sin(angles)], axis=1)
    return _turned(rim, turn, centre)


def _turned(points: np.ndarray, degrees: float, about: np.ndarray) -> list[float]:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cosine, sine], [-sine, cosine]])
    return ((points - about) @ turn + about).ravel().tolist()


def placed(piece: np.ndarray, left: int, top: int, height: int, width: int) -> Code:
    """The code of a photo's mask, of which a file has a piece; what lies outside is cut off.

    Args:
        piece: (h, w) bool.
        left: column of the photo where it begins.
        top: row of the photo where it begins.
        height: of the photo, in pixels.
        width: of the photo, in pixels.
    """
    mask = np.zeros((height, width), dtype=bool)
    rows = slice(max(0, -top), max(0, min(piece.shape[0], height - top)))
    columns = slice(max(0, -left), max(0, min(piece.shape[1], width - left)))
    cut = piece[rows, columns]
    y, x = top + rows.start, left + columns.start
    mask[y : y + cut.shape[0], x : x + cut.shape[1]] = cut
    return encode_mask(mask)


def picture_mask(data: bytes, max_pixels: int) -> np.ndarray:
    """The mask in a picture: what is opaque in one with opacity, what is not black in another.

    Args:
        data: of an image file.
        max_pixels: a larger picture is not decoded.

    Returns:
        (h, w) bool.

    Raises:
        SAVError: it is no picture, broken or too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as picture:
            if picture.width * picture.height > max_pixels:
                size = f"{picture.width}x{picture.height}"
                raise SAVError(f"the picture of its mask is {size}, larger than the photo")
            if picture.has_transparency_data:
                return np.asarray(picture.convert("RGBA").getchannel("A")) >= _HALF_SEEN
            return np.asarray(picture.convert("L")) > 0
    except BROKEN as error:
        raise SAVError(f"the picture of its mask cannot be read: {error}") from error


def cut_to_box(mask: np.ndarray) -> tuple[np.ndarray, int, int]:
    """A mask (H, W) that is not empty, cut to its box; its left column and its top row."""
    x0, y0, x1, y1 = mask_box(mask)
    return mask[y0:y1, x0:x1], x0, y0


def runs_by_row(mask: np.ndarray) -> np.ndarray:
    """How many pixels of a mask (H, W), row by row, are background, then mask, background, ..."""
    flat = mask.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]]))
    return np.concatenate([[0], runs]) if flat[0] else runs
