"""Transforms (what is done to an image) and augmentations (which choose a transform)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fvcore.transforms.transform import (
    CropTransform,
    HFlipTransform,
    NoOpTransform,
    PadTransform,
    Transform,
    TransformList,
    VFlipTransform,
)
from PIL import Image
from torch.nn import functional as F

__all__ = [
    "AugInput",
    "Augmentation",
    "AugmentationList",
    "CropTransform",
    "FixedSizeCrop",
    "HFlipTransform",
    "NoOpTransform",
    "PadTransform",
    "RandomFlip",
    "ResizeScale",
    "ResizeShortestEdge",
    "ResizeTransform",
    "Transform",
    "TransformList",
    "VFlipTransform",
]


class ResizeTransform(Transform):
    """Resize an image; uint8 through Pillow, anything else through torch.

    Args:
        h: height of the input in pixels.
        w: width of the input in pixels.
        new_h: wanted height.
        new_w: wanted width.
        interp: a Pillow resampling filter; bilinear by default. Label maps always use nearest.
    """

    def __init__(self, h: int, w: int, new_h: int, new_w: int, interp: int | None = None) -> None:
        super().__init__()
        self.h, self.w, self.new_h, self.new_w = h, w, new_h, new_w
        self.interp = Image.Resampling.BILINEAR if interp is None else interp

    def apply_image(self, img: np.ndarray, interp: int | None = None) -> np.ndarray:
        """Resize (H, W) or (H, W, C) to the wanted height and width."""
        if img.shape[:2] != (self.h, self.w):
            raise AssertionError(f"expected an image of {(self.h, self.w)}, not {img.shape[:2]}")
        method = Image.Resampling(self.interp if interp is None else interp)
        if img.dtype == np.uint8:
            image = Image.fromarray(img[..., 0] if img.shape[2:] == (1,) else img)
            resized = np.asarray(image.resize((self.new_w, self.new_h), method))
        else:
            planes = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(img))).permute(2, 0, 1)
            size = (self.new_h, self.new_w)
            planes = F.interpolate(planes[None], size, mode=method.name.lower())[0]
            resized = planes.permute(1, 2, 0).numpy()
        return resized.reshape(self.new_h, self.new_w, *img.shape[2:])

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Scale points x, y of shape (N, 2)."""
        return coords * np.array([self.new_w / self.w, self.new_h / self.h])

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Resize a label map without mixing labels."""
        return self.apply_image(segmentation, interp=Image.Resampling.NEAREST)

    def inverse(self) -> Transform:
        """Return the transform back to the old size."""
        return ResizeTransform(self.new_h, self.new_w, self.h, self.w, self.interp)


class AugInput:
    """An image and what moves with it; augmentations change it in place.

    Args:
        image: uint8 or float (H, W) or (H, W, C).
        boxes: float (N, 4) XYXY in pixels.
        sem_seg: integer label map (H, W).
    """

    def __init__(
        self,
        image: np.ndarray,
        *,
        boxes: np.ndarray | None = None,
        sem_seg: np.ndarray | None = None,
    ) -> None:
        self.image = image
        self.boxes = boxes
        self.sem_seg = sem_seg

    def transform(self, tfm: Transform) -> None:
        """Apply a transform to everything."""
        self.image = tfm.apply_image(self.image)
        if self.boxes is not None:
            self.boxes = tfm.apply_box(self.boxes)
        if self.sem_seg is not None:
            self.sem_seg = tfm.apply_segmentation(self.sem_seg)


class Augmentation:
    """Chooses a transform, often at random.

    Subclasses implement :meth:`get_transform`; the names of its arguments are the attributes of the
    input that it needs (a single argument is always the image). Randomness comes from
    ``numpy.random``, which the data loader seeds for each sample.
    """

    def get_transform(self, *args: Any) -> Transform:
        """Choose the transform for an input."""
        raise NotImplementedError

    def __call__(self, aug_input: AugInput) -> Transform:
        """Choose a transform, apply it to the input in place, and return it."""
        names = list(inspect.signature(self.get_transform).parameters)
        names = ["image"] if len(names) == 1 else names
        transform = self.get_transform(*(getattr(aug_input, name) for name in names))
        aug_input.transform(transform)
        return transform


class _Always(Augmentation):
    """A fixed transform as an augmentation."""

    def __init__(self, tfm: Transform) -> None:
        self.tfm = tfm

    def get_transform(self, image: np.ndarray) -> Transform:
        return self.tfm


class AugmentationList(Augmentation):
    """Augmentations (or transforms) one after another.

    Args:
        augs: each one sees the result of those before it.
    """

    def __init__(self, augs: Sequence[Augmentation | Transform]) -> None:
        self.augs = [a if isinstance(a, Augmentation) else _Always(a) for a in augs]

    def __call__(self, aug_input: AugInput) -> TransformList:
        """Apply all in place and return the transforms that were chosen."""
        return TransformList([aug(aug_input) for aug in self.augs])


class RandomFlip(Augmentation):
    """Mirror the image with a probability.

    Classes that mean a side are not swapped: that needs a vocabulary and is the mapper's work.

    Args:
        prob: probability of a flip.
        horizontal: left and right change places.
        vertical: top and bottom change places; exactly one of the two must be set.
    """

    def __init__(
        self, prob: float = 0.5, *, horizontal: bool = True, vertical: bool = False
    ) -> None:
        if horizontal == vertical:
            raise ValueError("RandomFlip flips either horizontally or vertically")
        self.prob, self.horizontal, self.vertical = prob, horizontal, vertical

    def get_transform(self, image: np.ndarray) -> Transform:
        """Choose a flip or nothing."""
        if np.random.uniform() >= self.prob:
            return NoOpTransform()
        height, width = image.shape[:2]
        return HFlipTransform(width) if self.horizontal else VFlipTransform(height)


class ResizeShortestEdge(Augmentation):
    """Resize to a length of the shorter side, kept below a maximum of the longer side.

    Args:
        short_edge_length: one length; with ``range`` the two ends, with ``choice`` the candidates.
        max_size: maximum of the longer side.
        sample_style: ``range`` or ``choice``.
        interp: a Pillow resampling filter.
    """

    def __init__(
        self,
        short_edge_length: int | Sequence[int],
        max_size: int = 2**31,
        sample_style: str = "range",
        interp: int = Image.Resampling.BILINEAR,
    ) -> None:
        if sample_style not in ("range", "choice"):
            raise AssertionError(f"sample_style is range or choice, not {sample_style!r}")
        if isinstance(short_edge_length, int):
            short_edge_length = (short_edge_length, short_edge_length)
        if sample_style == "range" and len(short_edge_length) != 2:
            raise AssertionError(f"a range has two ends, not {short_edge_length}")
        self.short_edge_length = short_edge_length
        self.max_size, self.sample_style, self.interp = max_size, sample_style, interp

    def get_transform(self, image: np.ndarray) -> Transform:
        """Choose the size."""
        height, width = image.shape[:2]
        lengths = self.short_edge_length
        if self.sample_style == "range":
            length = int(np.random.randint(lengths[0], lengths[1] + 1))
        else:
            length = int(np.random.choice(lengths))
        if length == 0:
            return NoOpTransform()
        new_h, new_w = self.get_output_shape(height, width, length, self.max_size)
        return ResizeTransform(height, width, new_h, new_w, self.interp)

    @staticmethod
    def get_output_shape(
        oldh: int, oldw: int, short_edge_length: int, max_size: int
    ) -> tuple[int, int]:
        """Return the height and width after the resize."""
        scale = short_edge_length / min(oldh, oldw)
        scale = min(scale, max_size / max(oldh, oldw))
        return int(oldh * scale + 0.5), int(oldw * scale + 0.5)


class ResizeScale(Augmentation):
    """Resize to fit a target that is itself scaled at random (large scale jitter).

    Args:
        min_scale: smallest factor of the target.
        max_scale: largest factor.
        target_height: in pixels.
        target_width: in pixels.
        interp: a Pillow resampling filter.
    """

    def __init__(
        self,
        min_scale: float,
        max_scale: float,
        target_height: int,
        target_width: int,
        interp: int = Image.Resampling.BILINEAR,
    ) -> None:
        self.min_scale, self.max_scale = min_scale, max_scale
        self.target_height, self.target_width = target_height, target_width
        self.interp = interp

    def get_transform(self, image: np.ndarray) -> Transform:
        """Choose the size."""
        height, width = image.shape[:2]
        factor = np.random.uniform(self.min_scale, self.max_scale)
        scale = min(self.target_height * factor / height, self.target_width * factor / width)
        new_h, new_w = max(round(height * scale), 1), max(round(width * scale), 1)
        return ResizeTransform(height, width, new_h, new_w, self.interp)


class FixedSizeCrop(Augmentation):
    """Crop what is larger than a size, and pad what is smaller.

    The place of the crop is drawn on the diagonal of the image.

    Args:
        crop_size: height, width in pixels.
        pad: whether to pad at the bottom and right.
        pad_value: of the image.
        seg_pad_value: of the label map.
    """

    def __init__(
        self,
        crop_size: tuple[int, int],
        pad: bool = True,
        pad_value: float = 128.0,
        seg_pad_value: int = 255,
    ) -> None:
        self.crop_size, self.pad = crop_size, pad
        self.pad_value, self.seg_pad_value = pad_value, seg_pad_value

    def get_transform(self, image: np.ndarray) -> TransformList:
        """Choose the place of the crop."""
        height, width = image.shape[:2]
        crop_h, crop_w = min(self.crop_size[0], height), min(self.crop_size[1], width)
        place = np.random.uniform()
        y, x = round((height - crop_h) * place), round((width - crop_w) * place)
        transforms = [CropTransform(x, y, crop_w, crop_h, width, height)]
        if self.pad:
            bottom, right = self.crop_size[0] - crop_h, self.crop_size[1] - crop_w
            transforms.append(
                PadTransform(
                    0, 0, right, bottom, crop_w, crop_h, self.pad_value, self.seg_pad_value
                )
            )
        return TransformList(transforms)
