"""Things that stand in front of vehicles: poles, boxes, people and bushes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from sav.synthetic.camera import Camera


@dataclass(frozen=True, eq=False)
class _Brush:
    """Draws upright flat shapes on the ground, in metres to the right of and above a point.

    Attributes:
        color: (H, W, 3) uint8 RGB, drawn on.
        mask: (H, W) uint8, set to 255 where something is drawn.
        foot: (2,) the point's pixel.
        right: (2,) pixels that one metre to the right takes.
        up: (2,) pixels that one metre up takes.
        light: brightness factor, about 1.
    """

    color: np.ndarray
    mask: np.ndarray
    foot: np.ndarray
    right: np.ndarray
    up: np.ndarray
    light: float

    def polygon(self, points: np.ndarray, rgb: np.ndarray) -> None:
        pixels = self.foot + points[:, :1] * self.right + points[:, 1:] * self.up
        corners = np.round(np.clip(pixels, -9000, 9000) * 16).astype(np.int32)
        cv2.fillPoly(self.mask, [corners], 255, shift=4)
        cv2.fillPoly(self.color, [corners], np.clip(rgb * self.light, 0, 255).tolist(), shift=4)

    def oval(self, middle: tuple[float, float], size: tuple[float, float], rgb: np.ndarray) -> None:
        turn = np.linspace(0, 2 * np.pi, 20)
        ring = 0.5 * np.stack([np.cos(turn), np.sin(turn)], 1)
        self.polygon(ring * size + np.array(middle), rgb)

    def rect(self, foot: tuple[float, float], size: tuple[float, float], rgb: np.ndarray) -> None:
        corners = np.array([(-0.5, 0), (0.5, 0), (0.5, 1), (-0.5, 1)])
        self.polygon(corners * size + np.array(foot), rgb)


def _pole(rng: np.random.Generator, brush: _Brush) -> None:
    wide, tall = rng.uniform(0.07, 0.2), rng.choice((0.9, 5.0), p=(0.35, 0.65))
    rgb = np.full(3, rng.uniform(60, 190)) + rng.uniform(-12, 12, 3)
    brush.rect((0, 0), (wide, tall), rgb)
    brush.rect((-0.25 * wide, 0), (0.25 * wide, tall), rgb * 1.25)
    if tall < 1:
        brush.rect((0, 0.65), (wide, 0.12), np.array((230, 230, 226)))


def _box(rng: np.random.Generator, brush: _Brush) -> None:
    wide, tall = rng.uniform(0.3, 0.8), rng.uniform(0.35, 0.9)
    rgb = rng.uniform(60, 220, 3)
    brush.rect((0, 0), (wide, tall), rgb)
    brush.rect((0.3 * wide, 0), (0.4 * wide, tall), rgb * 0.75)
    brush.rect((0, 0.6 * tall), (wide, 0.06), rgb * 0.6)


def _person(rng: np.random.Generator, brush: _Brush) -> None:
    tall, stride = rng.uniform(1.5, 1.85), rng.uniform(0.05, 0.11)
    shirt, trousers = rng.uniform(40, 230, 3), rng.uniform(25, 110, 3)
    skin = np.array((206, 160, 130)) * rng.uniform(0.5, 1.1)
    for sign in (-1, 1):
        brush.rect((sign * stride, 0), (0.14, 0.5 * tall), trousers * (1 - 0.1 * sign))
        brush.oval((sign * stride, 0.02), (0.2, 0.07), trousers * 0.4)
        brush.oval((sign * 0.24, 0.62 * tall), (0.11, 0.36 * tall), shirt * 0.85)
        brush.oval((sign * 0.24, 0.45 * tall), (0.09, 0.09), skin)
    brush.rect((0, 0.47 * tall), (0.36, 0.3 * tall), shirt)
    brush.oval((0, 0.77 * tall), (0.46, 0.12 * tall), shirt)
    brush.oval((0, 0.92 * tall), (0.19, 0.15 * tall), skin)
    brush.oval((0, 0.96 * tall), (0.2, 0.09 * tall), trousers * 0.6)


def _bush(rng: np.random.Generator, brush: _Brush) -> None:
    wide, tall = rng.uniform(0.5, 1.3), rng.uniform(0.35, 0.8)
    leaf = np.array((66, 100, 48)) * rng.uniform(0.6, 1.2)
    for _ in range(24):
        middle = (rng.uniform(-0.4, 0.4) * wide, rng.uniform(0.15, 0.8) * tall)
        size = rng.uniform(0.2, 0.45) * tall
        brush.oval(middle, (size, size), leaf * rng.uniform(0.7, 1.3))


_KINDS: tuple[tuple[float, Callable[[np.random.Generator, _Brush], None]], ...] = (
    (0.35, _pole),
    (0.2, _box),
    (0.25, _person),
    (0.2, _bush),
)


def paint_occluder(
    rng: np.random.Generator,
    color: np.ndarray,
    mask: np.ndarray,
    camera: Camera,
    *,
    foot: np.ndarray,
    light: float,
) -> None:
    """Draw one random thing that stands on the ground.

    Args:
        rng: source of all randomness.
        color: (H, W, 3) uint8 RGB, drawn on.
        mask: (H, W) uint8, set to 255 where the thing is.
        camera: of the picture `color`.
        foot: (3,) where it stands, world metres.
        light: brightness factor, about 1.
    """
    (low, high), depth = camera.project(foot + np.array([(0, 0, 0), (0, 0, 1.0)]))
    if depth.min() < 0.5:
        return
    up = high - low
    right = np.array([-up[1], up[0]])
    shares = [share for share, _ in _KINDS]
    _, paint = _KINDS[rng.choice(len(_KINDS), p=shares)]
    paint(rng, _Brush(color, mask, low, right, up, light))
