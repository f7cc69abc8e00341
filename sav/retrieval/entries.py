"""What an annotated photo lends: its layout of parts, their prototypes and their geometry."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from sav.retrieval.views import GalleryEntries

GEOMETRY_DIM = 5
LAYOUT_SIDE = 16
_DESCRIPTOR_SIDE = 6


def describe(layouts: torch.Tensor) -> torch.Tensor:
    """Describe vehicles for retrieval by where their parts are.

    Vehicles are alike when they are seen from the same side and are built alike, whatever their
    colour. So a descriptor is the coarse layout of the parts in the vehicle's own box: annotated
    for a vehicle in the gallery, predicted for a photo that looks for neighbours.

    Args:
        layouts: (B, C, m, m) share of each part in each cell of the vehicle's box.

    Returns:
        (B, 36 C) float32, unit length. Roots of the shares (Hellinger), so that small parts count.
    """
    coarse = F.adaptive_avg_pool2d(layouts.float(), _DESCRIPTOR_SIDE)
    return F.normalize(coarse.clamp(min=0).sqrt().flatten(1), dim=1)


def main_vehicle(masks: torch.Tensor, vehicle_ids: torch.Tensor) -> torch.Tensor:
    """Which instances belong to the largest vehicle.

    Args:
        masks: (M, S, S) float or bool.
        vehicle_ids: (M,) int64.

    Returns:
        (M,) bool.
    """
    areas = masks.flatten(1).sum(1).float()
    ids, inverse = vehicle_ids.unique(return_inverse=True)
    totals = torch.zeros(len(ids), device=masks.device).index_add_(0, inverse, areas)
    return inverse == totals.argmax() if len(ids) else torch.zeros_like(vehicle_ids).bool()


def pool_parts(
    embedding: torch.Tensor, masks: torch.Tensor, classes: torch.Tensor, num_classes: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prototypes, geometry and layout of one vehicle's parts.

    Args:
        embedding: (E, h, w) of the photo.
        masks: (M, S, S) float instance masks of that vehicle on the same canvas.
        classes: (M,) int64.
        num_classes: C.

    Returns:
        prototypes (C + 1, E), geometry (C, 5), present (C,), layouts (C, m, m), as in
        GalleryEntries.
    """
    size = masks.shape[-1]
    parts = torch.zeros(num_classes, size, size, device=masks.device)
    parts.scatter_reduce_(0, classes[:, None, None].expand_as(masks), masks, "amax")
    weights = F.avg_pool2d(parts[:, None], size // embedding.shape[-1])[:, 0].flatten(1)
    present = weights.sum(1) > 0
    around = (1 - weights.sum(0, keepdim=True)).clamp(min=0)
    weights = torch.cat([weights, around])
    totals = weights.sum(1, keepdim=True).clamp(min=1e-6)
    prototypes = weights @ embedding.flatten(1).T.float() / totals
    boxes = mask_boxes(parts > 0)
    vehicle = mask_boxes(parts.amax(0, keepdim=True) > 0)[0]
    scale = (vehicle[2:] - vehicle[:2]).clamp(min=1).repeat(2)
    relative = (boxes - vehicle[:2].repeat(2)) / scale
    centre, extent = (relative[:, :2] + relative[:, 2:]) / 2, relative[:, 2:] - relative[:, :2]
    area = parts.flatten(1).sum(1, keepdim=True) / scale[:2].prod()
    geometry = torch.cat([centre, extent, area], dim=1) * present[:, None]
    left, top, right, bottom = vehicle.int().tolist()
    layout = F.adaptive_avg_pool2d(parts[:, top:bottom, left:right], LAYOUT_SIDE)
    return prototypes, geometry, present, (layout * 255).round().to(torch.uint8)


def pool_batch(
    embedding: torch.Tensor,
    parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    num_classes: int,
) -> GalleryEntries:
    """Gallery entries of B annotated photos.

    Args:
        embedding: (B, E, h, w).
        parts: for each photo masks (M, S, S), classes (M,) and vehicle ids (M,).
        num_classes: C.
    """
    pooled = []
    for features, (masks, classes, vehicle_ids) in zip(embedding, parts, strict=True):
        main = main_vehicle(masks, vehicle_ids)
        pooled.append(pool_parts(features, masks[main], classes[main], num_classes))
    columns = (torch.stack(column) for column in zip(*pooled, strict=True))
    prototypes, geometry, present, layouts = columns
    return GalleryEntries(describe(layouts / 255), prototypes, geometry, present, layouts)


def mask_boxes(masks: torch.Tensor) -> torch.Tensor:
    """Tight XYXY pixel boxes (M, 4) float32 of bool masks (M, H, W); zeros for empty ones."""
    columns, rows = masks.any(1), masks.any(2)
    left, top = columns.int().argmax(1), rows.int().argmax(1)
    right = masks.shape[2] - columns.flip(1).int().argmax(1)
    bottom = masks.shape[1] - rows.flip(1).int().argmax(1)
    boxes = torch.stack([left, top, right, bottom], dim=1).float()
    return boxes * columns.any(1, keepdim=True)
