"""Augmentations for vehicle photos, as Detectron2 transforms.

All geometry is one affine map from the photo straight to the network's canvas, so that pixels are
interpolated once, and all colour is one matrix applied at canvas resolution: both for speed, since
augmentation shares the processor with training on small machines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sav.d2 import transforms as T

_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(eq=False)
class AffineTransform(T.Transform):
    """An affine map of the plane onto a canvas of fixed size.

    Attributes:
        matrix: (2, 3), takes continuous (x, y) of the input to those of the output; (0, 0) is
            the outer corner of the top left pixel.
        size: (height, width) of the canvas in pixels.
        border: RGB, 0 to 255, where the canvas shows nothing of the input.
    """

    matrix: np.ndarray
    size: tuple[int, int]
    border: Sequence[float]

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Warp (H, W, 3) uint8 with bilinear interpolation, area-averaged where it shrinks."""
        height, width = img.shape[:2]
        matrix = self.matrix
        factor = int(1 / math.sqrt(abs(np.linalg.det(matrix[:, :2]))) + 1e-6)
        if factor > 1:
            # Bilinear sampling skips pixels beyond a factor of two; shrink by whole steps first.
            shape = max(1, width // factor), max(1, height // factor)
            img = cv2.resize(img, shape, interpolation=cv2.INTER_AREA)
            matrix = matrix * (width / shape[0], height / shape[1], 1)
        return self._warp(img, matrix, cv2.INTER_LINEAR, self.border)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Warp (H, W) labels by nearest neighbour; 0 outside the input."""
        matrix = self.matrix
        if segmentation.flags.f_contiguous:
            # Decoded run-length codes lie column by column; OpenCV would copy them to rows first.
            segmentation, matrix = segmentation.T, matrix[:, [1, 0, 2]]
        return self._warp(segmentation, matrix, cv2.INTER_NEAREST, 0)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Move (N, 2) continuous x, y."""
        return coords @ self.matrix[:, :2].T + self.matrix[:, 2]

    def _warp(
        self, img: np.ndarray, matrix: np.ndarray, flags: int, border: float | Sequence[float]
    ) -> np.ndarray:
        # OpenCV's integer coordinates are pixel centres, which lie half a pixel from the corners.
        centred = matrix.astype(np.float64)
        centred[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        return cv2.warpAffine(img, centred, self.size[::-1], flags=flags, borderValue=border)


class StillTransform(T.Transform):
    """Changes pixels; nothing moves."""

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Return coordinates (N, 2) as they are."""
        return coords

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Return labels (H, W) as they are."""
        return segmentation


@dataclass(eq=False)
class ColorTransform(StillTransform):
    """Colour matrix, blur and noise; nothing moves.

    Attributes:
        matrix: (3, 4) float, takes (r, g, b, 1) to (r, g, b), each 0 to 255.
        blur: standard deviation in pixels, 0 for none.
        noise: standard deviation in grey levels, 0 for none.
        seed: of the noise.
    """

    matrix: np.ndarray
    blur: float
    noise: float
    seed: int

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Recolour (H, W, 3) uint8 RGB."""
        img = cv2.transform(img, self.matrix)
        if self.blur:
            img = cv2.GaussianBlur(img, (0, 0), self.blur)
        if self.noise:
            rng = np.random.default_rng(self.seed)
            noise = rng.standard_normal(img.shape, dtype=np.float32) * self.noise
            img = np.clip(img + noise, 0, 255).astype(np.uint8)
        return img


@dataclass(kw_only=True, eq=False)
class RandomAffine(T.Augmentation):
    """Scale, aspect ratio, rotation, shift and flip in one map onto a square canvas.

    Scale 1 is that of :mod:`sav.data.letterbox`, which lays a photo into the top left corner. So
    the position is drawn between that place and the middle of the canvas, and then shifted.

    Attributes:
        size: side of the canvas in pixels.
        scale: lowest and highest scale, drawn uniformly in the logarithm.
        aspect: lowest and highest ratio of the two axes' scales, drawn likewise.
        rotation: greatest angle in degrees, either way.
        shift: greatest shift as a share of the canvas, either way along each axis.
        flip_prob: probability of a left-right flip.
        border: RGB, 0 to 255, around the photo.
    """

    size: int
    scale: tuple[float, float]
    aspect: tuple[float, float]
    rotation: float
    shift: float
    flip_prob: float
    border: Sequence[float]

    def get_transform(self, image: np.ndarray) -> AffineTransform:
        """Draw a map for an image (H, W, 3) from numpy's global random state."""
        height, width = image.shape[:2]
        scale = log_uniform(*self.scale) * self.size / max(height, width)
        stretch = math.sqrt(log_uniform(*self.aspect))
        angle = math.radians(np.random.uniform(-self.rotation, self.rotation))
        flip = -1.0 if np.random.uniform() < self.flip_prob else 1.0
        cos, sin = math.cos(angle), math.sin(angle)
        rotate = np.array([[cos, -sin], [sin, cos]])
        linear = rotate @ np.diag([flip * scale * stretch, scale / stretch])
        corner = np.array([width, height]) * self.size / max(height, width) / 2
        middle = np.full(2, self.size / 2)
        centre = corner + np.random.uniform() * (middle - corner)
        centre = centre + np.random.uniform(-self.shift, self.shift, 2) * self.size
        matrix = np.column_stack([linear, centre - linear @ (width / 2, height / 2)])
        return AffineTransform(matrix, (self.size, self.size), self.border)


@dataclass(kw_only=True, eq=False)
class RandomColor(T.Augmentation):
    """Brightness, contrast, saturation, hue, white balance, grey, light blur and noise.

    Attributes:
        strength: 0 for none to 1.
        grey_prob: probability that all colour is taken out.
    """

    strength: float
    grey_prob: float

    def get_transform(self, image: np.ndarray) -> ColorTransform:
        """Draw a colour change for an image (H, W, 3) from numpy's global random state."""
        s = self.strength
        brightness, contrast, saturation = 1 + np.random.uniform(-0.8, 0.8, 3) * s
        balance = 1 + np.random.uniform(-0.3, 0.3, 3) * s
        hue = np.random.uniform(-1, 1) * s
        if np.random.uniform() < self.grey_prob:
            saturation, balance = 0.0, np.ones(3)
        grey = np.tile(_LUMA, (3, 1))
        color = grey + saturation * _rotate_hue(hue) @ (np.eye(3) - grey)
        color = brightness * contrast * balance[:, None] * color
        mean = float(_LUMA @ cv2.mean(image)[:3])
        offset = brightness * (1 - contrast) * mean * balance
        blur, noise = np.random.uniform(0, (2.0 * s, 20.0 * s)) * (np.random.uniform(size=2) < 0.15)
        matrix = np.column_stack([color, offset])
        return ColorTransform(matrix, blur, noise, seed=np.random.randint(2**31))


def log_uniform(low: float, high: float) -> float:
    """Draw a number, uniformly in its logarithm, from numpy's global random state."""
    return math.exp(np.random.uniform(math.log(low), math.log(high)))


def _rotate_hue(angle: float) -> np.ndarray:
    """Rotation of RGB space about its grey axis, (3, 3); angle in radians."""
    cos, sin = math.cos(angle), math.sin(angle) / math.sqrt(3)
    outer = (1 - cos) / 3
    cross = np.array([[0, -sin, sin], [sin, 0, -sin], [-sin, sin, 0]])
    return cos * np.eye(3) + cross + outer


def is_mirrored(transform: T.Transform) -> bool:
    """Whether a transform shows the scene as a mirror does, so that left becomes right."""
    origin, x, y = transform.apply_coords(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    return bool(np.linalg.det([x - origin, y - origin]) < 0)
