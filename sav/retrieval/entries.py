"""From an encoded photo to what it lends: descriptor, part prototypes, part geometry."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from sav.retrieval.gallery import GalleryEntries

LAYOUT_SIDE = 4
GEOMETRY_DIM = 5


def describe(embedding: torch.Tensor, layout: torch.Tensor) -> torch.Tensor:
    """Describe photos for retrieval, from the model's own encoding and never from labels.

    Appearance alone finds vehicles of the same colour; the coarse layout of parts that the encoder
    sees finds vehicles in the same view.

    Args:
        embedding: (B, E, h, w) image embedding.
        layout: (B, C + 1, h, w) logits of a part, or background, at each position.

    Returns:
        (B, E + 16 (C + 1)) float32, unit length; half of it is appearance, half layout.
    """
    appearance = F.normalize(embedding.float().mean((2, 3)), dim=1)
    shares = F.adaptive_avg_pool2d(layout.float().softmax(1), LAYOUT_SIDE)
    return torch.cat([appearance, F.normalize(shares.flatten(1), dim=1)], dim=1) * 0.5**0.5


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
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prototypes and geometry of one vehicle's parts.

    Args:
        embedding: (E, h, w) of the photo.
        masks: (M, S, S) float instance masks of that vehicle on the same canvas.
        classes: (M,) int64.
        num_classes: C.

    Returns:
        prototypes (C, E), geometry (C, 5), present (C,), as in GalleryEntries.
    """
    size = masks.shape[-1]
    parts = torch.zeros(num_classes, size, size, device=masks.device)
    parts.scatter_reduce_(0, classes[:, None, None].expand_as(masks), masks, "amax")
    weights = F.avg_pool2d(parts[:, None], size // embedding.shape[-1])[:, 0].flatten(1)
    totals = weights.sum(1, keepdim=True)
    prototypes = weights @ embedding.flatten(1).T.float() / totals.clamp(min=1e-6)
    present = totals[:, 0] > 0
    boxes = mask_boxes(parts > 0)
    vehicle = mask_boxes(parts.amax(0, keepdim=True) > 0)[0]
    scale = (vehicle[2:] - vehicle[:2]).clamp(min=1).repeat(2)
    relative = (boxes - vehicle[:2].repeat(2)) / scale
    centre, extent = (relative[:, :2] + relative[:, 2:]) / 2, relative[:, 2:] - relative[:, :2]
    area = parts.flatten(1).sum(1, keepdim=True) / scale[:2].prod()
    geometry = torch.cat([centre, extent, area], dim=1) * present[:, None]
    return prototypes, geometry, present


def pool_batch(
    descriptors: torch.Tensor,
    embedding: torch.Tensor,
    parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    num_classes: int,
) -> GalleryEntries:
    """Gallery entries of B annotated photos.

    Args:
        descriptors: (B, D).
        embedding: (B, E, h, w).
        parts: for each photo masks (M, S, S), classes (M,) and vehicle ids (M,).
        num_classes: C.
    """
    pooled = []
    for features, (masks, classes, vehicle_ids) in zip(embedding, parts, strict=True):
        main = main_vehicle(masks, vehicle_ids)
        pooled.append(pool_parts(features, masks[main], classes[main], num_classes))
    prototypes, geometry, present = (torch.stack(column) for column in zip(*pooled, strict=True))
    return GalleryEntries(descriptors, prototypes, geometry, present)


def mask_boxes(masks: torch.Tensor) -> torch.Tensor:
    """Tight XYXY pixel boxes (M, 4) float32 of bool masks (M, H, W); zeros for empty ones."""
    columns, rows = masks.any(1), masks.any(2)
    left, top = columns.int().argmax(1), rows.int().argmax(1)
    right = masks.shape[2] - columns.flip(1).int().argmax(1)
    bottom = masks.shape[1] - rows.flip(1).int().argmax(1)
    boxes = torch.stack([left, top, right, bottom], dim=1).float()
    return boxes * columns.any(1, keepdim=True)
