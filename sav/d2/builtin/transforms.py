"""Transforms (what is done to an image) and augmentations (which choose a transform)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from fvcore.transforms.transform import NoOpTransform, Transform, TransformList

__all__ = [
    "AugInput",
    "Augmentation",
    "AugmentationList",
    "NoOpTransform",
    "Transform",
    "TransformList",
]


class AugInput:
    """What augmentations change in place.

    Args:
        image: uint8 or float (H, W) or (H, W, C).
    """

    def __init__(self, image: np.ndarray) -> None:
        self.image = image


class Augmentation:
    """Chooses a transform, often at random.

    Randomness comes from ``numpy.random``, which the data loader seeds for each sample.
    """

    def get_transform(self, image: np.ndarray) -> Transform:
        """Choose the transform for an image (H, W) or (H, W, 3)."""
        raise NotImplementedError

    def __call__(self, aug_input: AugInput) -> Transform:
        """Choose a transform, apply it to the input in place, and return it."""
        transform = self.get_transform(aug_input.image)
        aug_input.image = transform.apply_image(aug_input.image)
        return transform


class AugmentationList(Augmentation):
    """Augmentations one after another.

    Args:
        augs: each one sees the result of those before it.
    """

    def __init__(self, augs: Sequence[Augmentation]) -> None:
        self.augs = augs

    def __call__(self, aug_input: AugInput) -> TransformList:
        """Apply all in place and return the transforms that were chosen."""
        return TransformList([aug(aug_input) for aug in self.augs])
