"""Which parts of a photo belong to one vehicle."""

from __future__ import annotations

import torch
from scipy.sparse.csgraph import connected_components

_VEHICLE_GAP = 0.05


def group_into_vehicles(
    boxes: torch.Tensor, classes: torch.Tensor, scores: torch.Tensor, body_ids: tuple[int, ...]
) -> torch.Tensor:
    """Which vehicle each part belongs to.

    Where the vocabulary has a body class, each body that no better body covers is a vehicle, and a
    part joins the body that holds most of its box. Otherwise parts whose boxes touch, or nearly
    do, are one vehicle.

    Args:
        boxes: (N, 4) XYXY.
        classes: (N,) int64.
        scores: (N,) in [0, 1].
        body_ids: the body classes; may be empty.

    Returns:
        (N,) int64 vehicle ids, counted from 0, the vehicle of the best part or body first.
    """
    if len(boxes) == 0:
        return classes.new_zeros(0)
    is_body = torch.isin(classes, classes.new_tensor(body_ids))
    bodies = _main_bodies(boxes, scores, is_body.nonzero()[:, 0])
    if len(bodies) == 0:
        return _touching(boxes)
    inside = intersection(boxes, boxes[bodies]) / _area(boxes)[:, None].clamp(min=1e-6)
    # Among bodies that hold a part equally, the nearest.
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = torch.cdist(centre, centre[bodies])
    return (inside - 1e-3 * distance / distance.max().clamp(min=1e-6)).argmax(1)


def _main_bodies(boxes: torch.Tensor, scores: torch.Tensor, bodies: torch.Tensor) -> torch.Tensor:
    """Indices of bodies, best first, without those that lie mostly within a better one."""
    kept: list[int] = []
    for index in bodies[scores[bodies].argsort(descending=True, stable=True)].tolist():
        box = boxes[index : index + 1]
        if kept and (intersection(box, boxes[kept]) / _area(box).clamp(min=1e-6)).max() > 0.7:
            continue
        kept.append(index)
    return bodies.new_tensor(kept)


def _touching(boxes: torch.Tensor) -> torch.Tensor:
    """Connected components of boxes, each enlarged a little."""
    margin = _VEHICLE_GAP * (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True)
    grown = torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], dim=1)
    touching = (intersection(grown, grown) > 0).cpu().numpy()
    _, labels = connected_components(touching, directed=False)
    return torch.from_numpy(labels).to(boxes.device, torch.int64)


def _area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)


def intersection(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Areas (N, M) shared by boxes (N, 4) and (M, 4)."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    return (high - low).clamp(min=0).prod(2)
