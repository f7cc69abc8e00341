"""Instance masks as bitmaps or as polygons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from sav.d2.builtin.structures import Boxes


class BitMasks:
    """N masks of one image as a bool tensor of shape (N, H, W)."""

    def __init__(self, tensor: torch.Tensor | np.ndarray) -> None:
        tensor = torch.as_tensor(tensor).to(torch.bool)
        if tensor.dim() != 3:
            raise AssertionError(f"bit masks have shape (N, H, W), not {tuple(tensor.shape)}")
        self.image_size = tuple(tensor.shape[1:])
        self.tensor = tensor

    def to(self, *args: torch.device | str, **kwargs: torch.device | str) -> BitMasks:
        """Return the masks on another device."""
        return BitMasks(self.tensor.to(*args, **kwargs))

    def __getitem__(self, item: int | slice | torch.Tensor) -> BitMasks:
        if isinstance(item, int):
            return BitMasks(self.tensor[item].unsqueeze(0))
        return BitMasks(self.tensor[item])

    def __iter__(self) -> Iterator[torch.Tensor]:
        yield from self.tensor

    def __len__(self) -> int:
        return self.tensor.shape[0]

    def __repr__(self) -> str:
        return f"BitMasks(num_instances={len(self)}, image_size={self.image_size})"

    def nonempty(self) -> torch.Tensor:
        """Return which masks have a pixel, bool (N,)."""
        return self.tensor.flatten(1).any(dim=1)

    def get_bounding_boxes(self) -> Boxes:
        """Return tight XYXY boxes whose far edges lie after the last pixel; zeros if empty."""
        boxes = torch.zeros(len(self), 4, device=self.tensor.device)
        for box, mask in zip(boxes, self.tensor, strict=True):
            rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
            if len(rows):
                edges = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
                box[:] = torch.cat(edges)
        return Boxes(boxes)

    @staticmethod
    def cat(bitmasks_list: Sequence[BitMasks]) -> BitMasks:
        """Concatenate masks of one image."""
        return BitMasks(torch.cat([m.tensor for m in bitmasks_list]))


class PolygonMasks:
    """N masks of one image; each is a list of polygons, flat float64 arrays x, y, x, y, ..."""

    def __init__(self, polygons: Sequence[Sequence[np.ndarray | Sequence[float]]]) -> None:
        self.polygons = [
            [np.asarray(polygon, dtype=np.float64).reshape(-1) for polygon in instance]
            for instance in polygons
        ]
        for instance in self.polygons:
            for polygon in instance:
                if len(polygon) % 2 or len(polygon) < 6:
                    raise ValueError(f"a polygon of {len(polygon)} numbers is not 3 points or more")

    def to(self, *_args: torch.device | str, **_kwargs: torch.device | str) -> PolygonMasks:
        """Return itself: polygons live on the CPU."""
        return self

    def __getitem__(self, item: int | slice | torch.Tensor | list[int]) -> PolygonMasks:
        if isinstance(item, int):
            return PolygonMasks([self.polygons[item]])
        if isinstance(item, slice):
            return PolygonMasks(self.polygons[item])
        indices = np.arange(len(self))[np.asarray(torch.as_tensor(item).cpu())]
        return PolygonMasks([self.polygons[i] for i in indices])

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        return iter(self.polygons)

    def __len__(self) -> int:
        return len(self.polygons)

    def __repr__(self) -> str:
        return f"PolygonMasks(num_instances={len(self)})"

    def nonempty(self) -> torch.Tensor:
        """Return which instances have a polygon, bool (N,)."""
        return torch.tensor([len(p) > 0 for p in self.polygons], dtype=torch.bool)

    @staticmethod
    def cat(polymasks_list: Sequence[PolygonMasks]) -> PolygonMasks:
        """Concatenate masks of one image."""
        return PolygonMasks([polygons for masks in polymasks_list for polygons in masks])
