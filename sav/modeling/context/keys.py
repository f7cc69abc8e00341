"""Retrieval keys: by what annotated vehicles are found for a vehicle."""

from __future__ import annotations

import torch
from torch.nn import functional as F

LAYOUT_SIDE = 18
_KEY_SIDE = 9


def layout_key(layouts: torch.Tensor) -> torch.Tensor:
    """Keys by the predicted parts, never by labels.

    Two vehicles have similar keys when they are seen from the same side and have their parts at the
    same places, whatever their colour. Where the model is wrong about a vehicle, it is wrong about
    others of its type in the same way, so they still find each other.

    Args:
        layouts: (V, C, m, m) probability of each part in each cell of the vehicle's box.

    Returns:
        (V, 81 C) float32, unit length. Roots of the shares (Hellinger), so that small parts count.
    """
    coarse = F.adaptive_avg_pool2d(layouts.float(), _KEY_SIDE)
    return F.normalize(coarse.clamp(min=0).sqrt().flatten(1), dim=1)


def appearance_key(embedding: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
    """Keys by the mean feature of what is predicted to be the vehicle.

    Args:
        embedding: (V, E, h, w) of each vehicle's photo.
        parts: (V, C, n, n) probability of each of its parts at each place of the photo.

    Returns:
        (V, E) float32, unit length.
    """
    weights = F.adaptive_avg_pool2d(parts.float().amax(1), embedding.shape[-2:]).flatten(1)
    weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
    pooled = torch.einsum("vp,vep->ve", weights, embedding.float().flatten(2))
    # Features have a large common part in all photos, which would hide what differs.
    return F.normalize(pooled - pooled.mean(1, keepdim=True), dim=1)


def join_keys(layout: torch.Tensor, appearance: torch.Tensor, weight: float) -> torch.Tensor:
    """Keys whose product is that of both, weighed.

    Args:
        layout: (V, D) unit length.
        appearance: (V, E) unit length.
        weight: of the appearance in [0, 1].

    Returns:
        (V, D + E) unit length; (V, D), the layout alone, where the weight is 0.
    """
    if not weight:
        return layout
    return torch.cat([(1 - weight) ** 0.5 * layout, weight**0.5 * appearance], dim=1)
