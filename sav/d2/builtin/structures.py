"""Containers of per-image results: `Instances`, and their boxes and masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


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

    def __getitem__(self, item: int | slice | torch.Tensor) -> Boxes:
        return Boxes(self.tensor[item].reshape(-1, 4))

    @classmethod
    def cat(cls, pieces: Sequence[Boxes]) -> Boxes:
        """Join the boxes of several, in order."""
        return cls(torch.cat([piece.tensor for piece in pieces]))

    def __len__(self) -> int:
        return self.tensor.shape[0]

    def __repr__(self) -> str:
        return f"Boxes({self.tensor})"


class BitMasks:
    """N masks of one image as a bool tensor of shape (N, H, W)."""

    def __init__(self, tensor: torch.Tensor | np.ndarray) -> None:
        tensor = torch.as_tensor(tensor).to(torch.bool)
        if tensor.dim() != 3:
            raise AssertionError(f"bit masks have shape (N, H, W), not {tuple(tensor.shape)}")
        self.tensor = tensor

    def to(self, device: torch.device | str) -> BitMasks:
        """Return the masks on another device."""
        return BitMasks(self.tensor.to(device))

    def __getitem__(self, item: int | slice | torch.Tensor) -> BitMasks:
        return BitMasks(self.tensor[item].reshape(-1, *self.tensor.shape[1:]))

    def __len__(self) -> int:
        return self.tensor.shape[0]

    @staticmethod
    def cat(pieces: Sequence[BitMasks]) -> BitMasks:
        """Join the masks of several, in order."""
        return BitMasks(torch.cat([piece.tensor for piece in pieces]))

    def __repr__(self) -> str:
        return f"BitMasks({tuple(self.tensor.shape)})"


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

    def to(self, device: torch.device | str) -> Instances:
        """Return new instances with all fields that can move on another device."""
        moved = Instances(self._image_size)
        for name, value in self._fields.items():
            moved.set(name, value.to(device) if hasattr(value, "to") else value)
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

    @staticmethod
    def cat(pieces: Sequence[Instances]) -> Instances:
        """Join instances of one image, which have the same fields, in order."""
        first = pieces[0]
        if any(piece.image_size != first.image_size for piece in pieces):
            raise AssertionError("instances of images of several sizes cannot be joined")
        joined = Instances(first.image_size)
        for name, value in first._fields.items():
            values = [piece.get(name) for piece in pieces]
            if isinstance(value, torch.Tensor):
                joined.set(name, torch.cat(values))
            elif isinstance(value, list):
                joined.set(name, [entry for entries in values for entry in entries])
            else:
                joined.set(name, type(value).cat(values))
        return joined

    def __len__(self) -> int:
        for value in self._fields.values():
            return len(value)
        raise NotImplementedError("Instances without a field have no length")

    def __iter__(self) -> Any:
        raise NotImplementedError("Instances cannot be iterated; index them")

    def __repr__(self) -> str:
        height, width = self._image_size
        fields = ", ".join(f"{name}: {value}" for name, value in self._fields.items())
        count = len(self) if self._fields else 0
        return (
            f"Instances(num_instances={count}, image_height={height}, "
            f"image_width={width}, fields=[{fields}])"
        )
