"""The vehicle's frame: parts within its box, wherever in the photo the vehicle stands."""

from __future__ import annotations

import torch
from torch.nn import functional as F

# Of the parts seen along one side of the photo, this share may lie outside the vehicle's box.
_TAIL = 0.02
_FAINT = 0.15
_MARGIN = 0.1  # of a side, added at both ends: parts that the model has missed may lie there


def vehicle_boxes(parts: torch.Tensor) -> torch.Tensor:
    """The box around the predicted parts.

    Args:
        parts: (B, C, h, w) probability of each part at each place.

    Returns:
        (B, 4) XYXY as shares of the image, finer than the grid: quantiles of the parts' profile
        along each side, and a margin that may reach out of the image.
    """
    any_part = parts.float().amax(1)
    low, high = torch.stack([_quantiles(any_part.mean(axis)) for axis in (1, 2)], dim=-1).unbind(1)
    margin = _MARGIN * (high - low)
    return torch.cat([low - margin, high + margin], dim=1)


def crop(parts: torch.Tensor, boxes: torch.Tensor, size: int) -> torch.Tensor:
    """Parts (B, C, h, w) within boxes (B, 4), see :func:`vehicle_boxes`, as (B, C, size, size)."""
    low, high = boxes[:, :2, None], boxes[:, 2:, None]
    x, y = (low + _cells(size, parts) * (high - low)).unbind(1)
    return _read(parts, x, y)


def lay_over(layouts: torch.Tensor, boxes: torch.Tensor, size: int) -> torch.Tensor:
    """The reverse of :func:`crop`: layouts (B, C, m, m) on an image (B, C, size, size).

    Zero outside the boxes.
    """
    low, high = boxes[:, :2, None], boxes[:, 2:, None]
    x, y = ((_cells(size, layouts) - low) / (high - low).clamp(min=1e-3)).unbind(1)
    return _read(layouts, x, y)


def _quantiles(profile: torch.Tensor) -> torch.Tensor:
    """(B, 2) where a profile (B, n) of mass along [0, 1] begins and ends."""
    size = profile.shape[1]
    mass = (profile - _FAINT * profile.amax(1, keepdim=True)).clamp(min=0) + 1e-6
    share = F.pad((mass / mass.sum(1, keepdim=True)).cumsum(1), (1, 0))
    levels = torch.tensor([_TAIL, 1 - _TAIL], device=profile.device)
    # As searchsorted, which ONNX does not have.
    right = (share[:, None] < levels[:, None]).sum(2).clamp(1, size)
    before, after = share.gather(1, right - 1), share.gather(1, right)
    return (right - 1 + (levels - before) / (after - before).clamp(min=1e-6)) / size


def _cells(size: int, like: torch.Tensor) -> torch.Tensor:
    """(size,) centres of the cells of [0, 1]."""
    return (torch.arange(size, device=like.device) + 0.5) / size


def _read(maps: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Maps (B, C, h, w) at columns x (B, n) and rows y (B, m), in [0, 1]: (B, C, m, n)."""
    columns = x[:, None, :].expand(-1, y.shape[1], -1)
    rows = y[:, :, None].expand(-1, -1, x.shape[1])
    grid = torch.stack([columns, rows], dim=-1) * 2 - 1
    return F.grid_sample(maps.float(), grid, align_corners=False)
