"""Licence plates of many countries, put onto the bumpers of photos.

Data sets that do not know plates, or in which they are made unreadable, teach nothing about them.
"""

from __future__ import annotations

import string
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

_HEIGHT = 96  # pixels of a drawn plate


class _Style(NamedTuple):
    """A kind of plate; its grounds and inks are RGB."""

    aspect: float
    grounds: tuple[tuple[int, int, int], ...]
    inks: tuple[tuple[int, int, int], ...]
    lines: tuple[str, ...]  # A is a letter, 0 a digit
    band: tuple[int, int, int] | None = None


_WHITE, _YELLOW, _BLACK = (242, 242, 238), (244, 205, 60), (28, 28, 34)
_STYLES = (
    _Style(4.7, (_WHITE,), (_BLACK,), ("AA 000 AA",), band=(20, 60, 160)),
    _Style(4.7, (_WHITE, _YELLOW), (_BLACK,), ("AA00 AAA",)),
    _Style(4.7, (_WHITE,), (_BLACK,), ("AAA 0000",), band=(200, 40, 40)),
    _Style(2.0, (_WHITE, (180, 205, 235), (250, 225, 150)), ((30, 50, 120), _BLACK), ("AAA 0000",)),
    _Style(2.0, (_WHITE,), ((20, 90, 60), _BLACK), ("AA 000", "00-00")),
    _Style(2.3, (_WHITE, (240, 220, 90)), (_BLACK,), ("0AA 0000", "AAAAAA")),
    _Style(3.1, (_BLACK, (20, 50, 130)), (_WHITE,), ("AAA 0000",)),
    _Style(4.1, (_WHITE, (70, 150, 90)), (_BLACK,), ("0 AAA 000",)),
)


def draw_plate(rng: np.random.Generator) -> np.ndarray:
    """A plate as it is seen from the front, (96, w, 3) uint8 RGB."""
    style = _STYLES[rng.integers(len(_STYLES))]
    width = round(_HEIGHT * style.aspect)
    ground, ink = (colors[rng.integers(len(colors))] for colors in (style.grounds, style.inks))
    plate = Image.new("RGB", (width, _HEIGHT), ground)
    draw = ImageDraw.Draw(plate)
    left = 4
    if style.band:
        left = round(0.09 * width)
        draw.rectangle((0, 0, left, _HEIGHT), fill=style.band)
    rows = [_signs(line, rng) for line in style.lines]
    row = (_HEIGHT - 8) / len(rows)
    for number, text in enumerate(rows):
        font = _fitting(text, width - left - 12, 0.82 * row)
        middle = (left + width) / 2, 4 + (number + 0.5) * row
        draw.text(middle, text, fill=ink, font=font, anchor="mm")
    edge = (2, 2, width - 3, _HEIGHT - 3)
    draw.rounded_rectangle(edge, radius=8, outline=ink, width=int(rng.integers(1, 4)))
    return np.asarray(plate)


def _signs(pattern: str, rng: np.random.Generator) -> str:
    kinds = {"A": string.ascii_uppercase, "0": string.digits}
    return "".join(kinds[c][rng.integers(len(kinds[c]))] if c in kinds else c for c in pattern)


def _fitting(text: str, width: float, height: float) -> ImageFont.FreeTypeFont:
    """The default font in the largest size that fits."""
    size = height
    while size > 8:
        font = ImageFont.load_default(size)
        left, top, right, bottom = font.getbbox(text)
        if right - left <= width and bottom - top <= height:
            return font
        size *= 0.92
    return ImageFont.load_default(8)


def paste_plate(
    photo: np.ndarray, holder: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """Put a plate onto a part that carries one.

    Args:
        photo: (H, W, 3) uint8 RGB.
        holder: (H, W) bool, the mask of a bumper, or of the lid or gate at the rear end.
        rng: of everything random.

    Returns:
        the photo with a plate, and its mask (H, W) bool; None where the part is too small, or so
        steep that one cannot tell how a plate would lie on it.
    """
    rows, columns = holder.nonzero()
    if len(rows) < 300:
        return None
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    middle = points.mean(0)
    axes = np.linalg.eigh(np.cov((points - middle).T))[1][:, ::-1]
    along = axes[:, 0] * np.sign(axes[0, 0] or 1.0)
    if abs(along[1]) > 0.5:
        return None
    down = np.array([0.0, 1.0])  # plates hang upright, also where the bumper runs aslant
    extent, depth = (np.ptp(np.percentile((points - middle) @ a, (3, 97))) for a in (along, down))
    plate = draw_plate(rng)
    width = extent * rng.uniform(0.16, 0.3)
    height = width * plate.shape[0] / plate.shape[1] / rng.uniform(0.6, 1.0)
    if height > 0.6 * depth or width < 12:
        return None
    centre = middle + along * extent * rng.normal(0, 0.05) + down * depth * rng.uniform(-0.05, 0.2)
    halves = [along * width / 2 * a + down * height / 2 * b for a, b in _CORNERS]
    corners = np.float32([centre + half * rng.uniform(0.97, 1.03) for half in halves])
    return _composite(photo, plate, corners, rng)


_CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))


def _composite(
    photo: np.ndarray, plate: np.ndarray, corners: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """Lay a plate onto four corners (4, 2), in the light of what is there."""
    height, width = photo.shape[:2]
    high, wide = plate.shape[:2]
    source = np.float32([(0, 0), (wide, 0), (wide, high), (0, high)])
    matrix = cv2.getPerspectiveTransform(source, corners)
    cover = cv2.warpPerspective(np.ones((high, wide), np.float32), matrix, (width, height))
    mask = cover > 0.5
    if mask.sum() < 40 or mask.sum() < 0.9 * cv2.contourArea(corners):
        return None  # partly outside the photo
    near = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    light = np.clip(float(photo[near].mean()) / 150, 0.35, 1.1) * rng.uniform(0.8, 1.1)
    size = max(1, round(wide / max(np.ptp(corners[:, 0]), 1)))
    soft = cv2.blur(plate, (size, size))  # as many pixels of the plate as fall into one
    laid = cv2.warpPerspective(soft, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    laid = np.clip(laid * light + rng.normal(0, 3, laid.shape), 0, 255)
    mixed = photo + (cover * rng.uniform(0.88, 1.0))[..., None] * (laid - photo)
    return mixed.round().clip(0, 255).astype(np.uint8), mask
