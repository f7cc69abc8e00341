"""Augmentations for photos of other places: poor light, poor cameras, and things in the way."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sav.d2 import transforms as T
from sav.data.augmentation import StillTransform

_GAMMA = 2.2  # darkest, and its inverse the brightest, at strength 1
_BLUR = 0.06  # longest smear at strength 1, as a share of the longer side
_JPEG = (25, 90)  # qualities
_LARGEST = 0.35  # of an occluder, as a share of each side


@dataclass(eq=False)
class CameraTransform(StillTransform):
    """Exposure, a smear of movement and JPEG's artefacts; nothing moves.

    Attributes:
        gamma: exponent of the grey levels, above 1 darkens.
        smear: (x, y) in pixels, along which the photo is blurred; (0, 0) for not at all.
        quality: of JPEG, 1 to 100; 0 to leave that out.
    """

    gamma: float
    smear: tuple[float, float]
    quality: int

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Degrade (H, W, 3) uint8 RGB."""
        levels = np.arange(256) / 255
        img = cv2.LUT(img, np.round(255 * levels**self.gamma).astype(np.uint8))
        if any(self.smear):
            img = cv2.filter2D(img, -1, _line(self.smear), borderType=cv2.BORDER_REPLICATE)
        if self.quality:
            quality = (cv2.IMWRITE_JPEG_QUALITY, self.quality)
            _, code = cv2.imencode(".jpg", img[..., ::-1], quality)
            img = cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1]
        return img


def _line(smear: tuple[float, float]) -> np.ndarray:
    """A kernel that averages along a line through its middle."""
    half = int(np.ceil(max(map(abs, smear)) / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    ends = [(round(half + s * smear[0] / 2), round(half + s * smear[1] / 2)) for s in (-1, 1)]
    cv2.line(kernel, *ends, 1.0)
    return kernel / kernel.sum()


@dataclass(eq=False)
class OccluderTransform(StillTransform):
    """Covers a box of the photo by a smooth pattern; what it covers is no longer annotated.

    Attributes:
        box: left, top, right and bottom in pixels.
        pattern: (h, w, 3) uint8 RGB, enlarged to the box.
    """

    box: tuple[int, int, int, int]
    pattern: np.ndarray

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Cover a part of (H, W, 3) uint8 RGB."""
        left, top, right, bottom = self.box
        img = img.copy()
        size = right - left, bottom - top
        img[top:bottom, left:right] = cv2.resize(self.pattern, size, interpolation=cv2.INTER_CUBIC)
        return img

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Erase what is covered of labels (H, W)."""
        left, top, right, bottom = self.box
        segmentation = segmentation.copy()
        segmentation[top:bottom, left:right] = 0
        return segmentation


@dataclass(kw_only=True, eq=False)
class RandomCamera(T.Augmentation):
    """Exposure for half of the photos, JPEG for half, a smear for a tenth.

    Attributes:
        strength: 0 for none to 1.
    """

    strength: float

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """Draw for an image (H, W, 3) from numpy's global random state."""
        exposed, smeared, packed = np.random.uniform(size=3) < np.array([0.5, 0.1, 0.5])
        gamma = _GAMMA ** (np.random.uniform(-1, 1) * self.strength)
        angle, length = np.random.uniform(0, (np.pi, _BLUR * self.strength * max(image.shape)))
        quality = 100 - self.strength * (100 - np.random.randint(_JPEG[0], _JPEG[1] + 1))
        if not self.strength:
            return T.NoOpTransform()
        smear = (length * np.cos(angle), length * np.sin(angle)) if smeared else (0.0, 0.0)
        return CameraTransform(gamma if exposed else 1.0, smear, int(quality) if packed else 0)


@dataclass(kw_only=True, eq=False)
class RandomOccluder(T.Augmentation):
    """Covers a box of the photo, of up to a third of its sides, as people and posts do.

    Attributes:
        prob: probability that there is one.
    """

    prob: float

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """Draw for an image (H, W, 3) from numpy's global random state."""
        height, width = image.shape[:2]
        drawn, *sizes = np.random.uniform(size=3)
        corner = np.random.uniform(size=2)
        cells = tuple(np.random.randint(1, 5, 2))
        middle = np.random.randint(0, 256, 3)
        pattern = np.clip(middle + np.random.normal(0, 40, (*cells, 3)), 0, 255).astype(np.uint8)
        if drawn >= self.prob:
            return T.NoOpTransform()
        wide = max(1, int(width * _LARGEST * sizes[0]))
        high = max(1, int(height * _LARGEST * sizes[1]))
        left, top = int(corner[0] * (width - wide)), int(corner[1] * (height - high))
        return OccluderTransform((left, top, left + wide, top + high), pattern)
