"""Exemplars of annotated photos: their retrieval keys, prototypes and layouts."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from sav.gallery.exemplars import Exemplars
from sav.modeling.context.frame import crop

LAYOUT_SIDE = 18
_KEY_SIDE = 9


def retrieval_key(predicted: torch.Tensor) -> torch.Tensor:
    """The retrieval keys of photos, from the predicted parts and never from labels.

    Two vehicles have similar keys when they are seen from the same side and have their parts at the
    same places, whatever their colour. Where the model is wrong about a vehicle, it is wrong about
    others of its type in the same way, so they still find each other.

    Args:
        predicted: (B, C, m, m) probability of each part in each cell of the vehicle's box.

    Returns:
        (B, 81 C) float32, unit length. Roots of the shares (Hellinger), so that small parts count.
    """
    coarse = F.adaptive_avg_pool2d(predicted.float(), _KEY_SIDE)
    return F.normalize(coarse.clamp(min=0).sqrt().flatten(1), dim=1)


def pool_exemplars(
    embedding: torch.Tensor,
    annotated: torch.Tensor,
    predicted: torch.Tensor,
    boxes: torch.Tensor,
) -> Exemplars:
    """Exemplars of B annotated photos.

    Args:
        embedding: (B, E, h, w).
        annotated: (B, C, S, S) float, 1 where a part is.
        predicted: (B, C, n, n) probability of each part by the model, without exemplars.
        boxes: (B, 4) of the predicted parts, see :func:`sav.modeling.context.frame.vehicle_boxes`.
    """
    annotated = F.adaptive_avg_pool2d(annotated, predicted.shape[-2:])
    cells = F.adaptive_avg_pool2d(annotated, embedding.shape[-2:]).flatten(2)
    around = (1 - cells.sum(1, keepdim=True)).clamp(min=0)
    weights = torch.cat([cells, around], dim=1)
    weights = weights / weights.sum(2, keepdim=True).clamp(min=1e-6)
    layouts = crop(annotated, boxes, LAYOUT_SIDE)
    predicted = crop(predicted, boxes, LAYOUT_SIDE)
    return Exemplars(
        keys=retrieval_key(predicted),
        prototypes=weights @ embedding.flatten(2).transpose(1, 2).float(),
        layouts=_to_bytes(layouts),
        predicted_layouts=_to_bytes(predicted),
        present=cells.sum(2) > 0,
    )


def _to_bytes(shares: torch.Tensor) -> torch.Tensor:
    return (shares * 255).round().to(torch.uint8)
