"""Transforms (what is done to an image) and augmentations (which choose a transform)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

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
        sem_seg: integers (H, W), a label for each pixel.
    """

    def __init__(self, image: np.ndarray, *, sem_seg: np.ndarray | None = None) -> None:
        self.image = image
        self.sem_seg = sem_seg

    def transform(self, tfm: Transform) -> None:
        """Apply a transform in place."""
        self.image = tfm.apply_image(self.image)
        if self.sem_seg is not None:
            self.sem_seg = tfm.apply_segmentation(self.sem_seg)


class Augmentation:
    """Chooses a transform, often at random.

    Randomness comes from ``numpy.random``, which the data loader seeds for each sample.
    """

    def get_transform(self, *args: Any) -> Transform:
        """Choose the transform. The parameters' names say what of the input it sees."""
        raise NotImplementedError

    def __call__(self, aug_input: AugInput) -> Transform:
        """Choose a transform, apply it to the input in place, and return it."""
        names = inspect.signature(self.get_transform).parameters
        transform = self.get_transform(*(getattr(aug_input, name) for name in names))
        aug_input.transform(transform)
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
