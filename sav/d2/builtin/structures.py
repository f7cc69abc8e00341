"""Containers of per-image results (`Instances`), boxes, and padded image batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from enum import IntEnum, unique
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F


@unique
class BoxMode(IntEnum):
    """How four numbers mean a box."""

    XYXY_ABS = 0
    XYWH_ABS = 1

    @staticmethod
    def convert(box: Any, from_mode: BoxMode, to_mode: BoxMode) -> Any:
        """Convert boxes between absolute modes.

        Args:
            box: one box as list or tuple of 4, or an array or tensor of shape (N, 4) or (4,).
            from_mode: the mode of ``box``.
            to_mode: the wanted mode.

        Returns:
            Boxes of the type of ``box``; the input is not changed.
        """
        if from_mode == to_mode:
            return box
        array = box.clone() if isinstance(box, torch.Tensor) else np.array(box, dtype=np.float64)
        sign = 1 if BoxMode(from_mode) == BoxMode.XYWH_ABS else -1
        array[..., 2:] += sign * array[..., :2]
        return type(box)(array.tolist()) if isinstance(box, list | tuple) else array


class Boxes:
    """N boxes, XYXY in pixels, as a float32 tensor of shape (N, 4)."""

    def __init__(self, tensor: torch.Tensor | np.ndarray | Sequence[Sequence[float]]) -> None:
        if not isinstance(tensor, torch.Tensor):
            tensor = torch.as_tensor(np.asarray(tensor, dtype=np.float32))
        tensor = tensor.to(torch.float32)
        if tensor.numel() == 0:
            tensor = tensor.reshape(-1, 4)
        if tensor.dim() != 2 or tensor.shape[1] != 4:
            raise ValueError(f"boxes have shape (N, 4), not {tuple(tensor.shape)}")
        self.tensor = tensor

    def to(self, device: torch.device | str) -> Boxes:
        """Return the boxes on another device."""
        return Boxes(self.tensor.to(device=device))

    def area(self) -> torch.Tensor:
        """Return the areas in pixels, shape (N,)."""
        size = self.tensor[:, 2:] - self.tensor[:, :2]
        return size[:, 0] * size[:, 1]

    def clip(self, box_size: tuple[int, int]) -> None:
        """Clip in place to an image of (height, width)."""
        height, width = box_size
        limit = self.tensor.new_tensor([width, height, width, height])
        self.tensor = torch.minimum(self.tensor.clamp(min=0), limit)

    def nonempty(self, threshold: float = 0.0) -> torch.Tensor:
        """Return which boxes have both sides longer than ``threshold`` pixels, bool (N,)."""
        return ((self.tensor[:, 2:] - self.tensor[:, :2]) > threshold).all(dim=1)

    @classmethod
    def cat(cls, boxes_list: Sequence[Boxes]) -> Boxes:
        """Concatenate; an empty list gives no boxes."""
        if not boxes_list:
            return cls(torch.empty(0, 4))
        return cls(torch.cat([b.tensor for b in boxes_list]))

    def __getitem__(self, item: int | slice | torch.Tensor) -> Boxes:
        return Boxes(self.tensor[item].reshape(-1, 4))

    def __len__(self) -> int:
        return self.tensor.shape[0]

    def __iter__(self) -> Iterator[torch.Tensor]:
        yield from self.tensor

    def __repr__(self) -> str:
        return f"Boxes({self.tensor})"


class Instances:
    """Fields of N instances in one image: attributes of equal length.

    Args:
        image_size: height, width in pixels.
        kwargs: the first fields.
    """

    def __init__(self, image_size: tuple[int, int], **kwargs: Any) -> None:
        self._image_size = image_size
        self._fields: dict[str, Any] = {}
        for name, value in kwargs.items():
            self.set(name, value)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._image_size

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self.set(name, value)

    def __getattr__(self, name: str) -> Any:
        # '_fields' is asked for before it exists when an object is unpickled or copied.
        if name == "_fields" or name not in self._fields:
            raise AttributeError(f"Instances have no field {name!r}")
        return self._fields[name]

    def set(self, name: str, value: Any) -> None:
        """Set a field; its length must be that of the others."""
        if self._fields and len(self) != len(value):
            raise AssertionError(
                f"field {name!r} has {len(value)} entries for {len(self)} instances"
            )
        self._fields[name] = value

    def has(self, name: str) -> bool:
        """Return whether there is such a field."""
        return name in self._fields

    def remove(self, name: str) -> None:
        """Remove a field."""
        del self._fields[name]

    def get(self, name: str) -> Any:
        """Return a field; ``KeyError`` when there is none."""
        return self._fields[name]

    def get_fields(self) -> dict[str, Any]:
        """Return all fields by name."""
        return self._fields

    def to(self, *args: Any, **kwargs: Any) -> Instances:
        """Return new instances with all fields that can move on another device."""
        moved = Instances(self._image_size)
        for name, value in self._fields.items():
            moved.set(name, value.to(*args, **kwargs) if hasattr(value, "to") else value)
        return moved

    def __getitem__(self, item: int | slice | torch.Tensor) -> Instances:
        if isinstance(item, int):
            if not -len(self) <= item < len(self):
                raise IndexError(f"instance {item} of {len(self)}")
            item = slice(item, item + 1 or None)
        chosen = Instances(self._image_size)
        for name, value in self._fields.items():
            chosen.set(name, value[item])
        return chosen

    def __len__(self) -> int:
        for value in self._fields.values():
            return len(value)
        raise NotImplementedError("Instances without a field have no length")

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError("Instances cannot be iterated; index them")

    @staticmethod
    def cat(instance_lists: Sequence[Instances]) -> Instances:
        """Concatenate instances of one image, field by field."""
        if not instance_lists:
            raise ValueError("nothing to concatenate")
        if len(instance_lists) == 1:
            return instance_lists[0]
        first = instance_lists[0]
        if any(other.image_size != first.image_size for other in instance_lists):
            raise ValueError("only instances of one image size can be concatenated")
        joined = Instances(first.image_size)
        for name in first.get_fields():
            values = [instances.get(name) for instances in instance_lists]
            if isinstance(values[0], torch.Tensor):
                joined.set(name, torch.cat(values))
            elif isinstance(values[0], list):
                joined.set(name, list(itertools.chain(*values)))
            else:
                joined.set(name, type(values[0]).cat(values))
        return joined

    def __repr__(self) -> str:
        height, width = self._image_size
        fields = ", ".join(f"{name}: {value}" for name, value in self._fields.items())
        count = len(self) if self._fields else 0
        return (
            f"Instances(num_instances={count}, image_height={height}, "
            f"image_width={width}, fields=[{fields}])"
        )


class ImageList:
    """Images of different sizes, padded at the bottom and right into one tensor.

    Args:
        tensor: (N, C, H, W).
        image_sizes: height, width of each image before padding.
    """

    def __init__(self, tensor: torch.Tensor, image_sizes: list[tuple[int, int]]) -> None:
        self.tensor = tensor
        self.image_sizes = image_sizes

    def __len__(self) -> int:
        return len(self.image_sizes)

    def __getitem__(self, idx: int) -> torch.Tensor:
        """Return one image without its padding, (C, h, w)."""
        height, width = self.image_sizes[idx]
        return self.tensor[idx, ..., :height, :width]

    def to(self, *args: Any, **kwargs: Any) -> ImageList:
        """Return the images on another device or with another dtype."""
        return ImageList(self.tensor.to(*args, **kwargs), self.image_sizes)

    @staticmethod
    def from_tensors(
        tensors: list[torch.Tensor],
        size_divisibility: int = 0,
        pad_value: float = 0.0,
    ) -> ImageList:
        """Pad images to one size.

        Args:
            tensors: images (C, h, w) that differ only in height and width.
            size_divisibility: round the common height and width up to a multiple of this.
            pad_value: value of the added pixels.
        """
        sizes = [(t.shape[-2], t.shape[-1]) for t in tensors]
        height, width = max(h for h, _ in sizes), max(w for _, w in sizes)
        divisor = max(size_divisibility, 1)
        height, width = -(-height // divisor) * divisor, -(-width // divisor) * divisor
        padded = [
            F.pad(t, (0, width - t.shape[-1], 0, height - t.shape[-2]), value=pad_value)
            for t in tensors
        ]
        return ImageList(torch.stack(padded).contiguous(), sizes)
