"""From the decoder's logits to named parts in the pixels of the original photo."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from sav.d2 import Boxes, Instances
from sav.modeling.grouping import VehicleKinds, group_into_vehicles

# Full-resolution float masks are made in pieces of about this many values (256 MiB).
_PIECE = 1 << 26
# A piece of a mask with less than this share of its largest piece's pixels is a speck. Real parts
# have small pieces too, such as doors behind a post: a share of 0.1 takes 4.6 box AP from the
# shipped model, 0.02 gives it 1.9.
_SPECK = 0.02


@dataclass(frozen=True)
class Frame:
    """Where a photo lies: at the top left corner of a square canvas, resized.

    Attributes:
        original: height and width of the photo as it was taken.
        resized: height and width in which it lies on the canvas (SAM's ``input_size``).
        canvas: side S.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    canvas: int

    @classmethod
    def of(cls, item: dict[str, Any], canvas: int) -> Frame:
        """From a model's input, with "image", "height" and "width"."""
        return cls((int(item["height"]), int(item["width"])), item["image"].shape[1:], canvas)


def to_original_frame(logits: torch.Tensor, frame: Frame) -> Iterator[torch.Tensor]:
    """Enlarge logits to the original photo, a piece at a time.

    Args:
        logits: (N, h, w) over the square canvas.
        frame: of the photo.

    Yields:
        (n, height, width) float, together N.
    """
    height, width = frame.original
    # The rows and columns of the logits that show the photo; their ends lie between two.
    rows, columns = (logits.shape[-1] * side / frame.canvas for side in frame.resized)
    shown = logits[:, : math.ceil(rows) + 1, : math.ceil(columns) + 1]
    for piece in shown.split(max(1, _PIECE // (height * width))):
        enlarged = F.interpolate(
            piece[:, None].float(),
            scale_factor=(height / rows, width / columns),
            mode="bilinear",
            align_corners=False,
            recompute_scale_factor=False,
        )
        yield enlarged[:, 0, :height, :width]


def part_probabilities(
    logits: torch.Tensor, presence: torch.Tensor, query_classes: torch.Tensor, num_classes: int
) -> torch.Tensor:
    """How likely each class is at each place: the noisy-or of its queries' presence times mask.

    Args:
        logits: (B, N, h, w) mask logits.
        presence: (B, N) probabilities.
        query_classes: (N,) class of each query.
        num_classes: C.

    Returns:
        (B, C, h, w) float32.
    """
    absent = 1 - presence.float()[..., None, None] * logits.float().sigmoid()
    none_of = torch.ones(len(logits), num_classes, *logits.shape[2:], device=logits.device)
    index = query_classes[:, None, None].expand_as(absent)
    return 1 - none_of.scatter_reduce(1, index, absent, "prod")


def label_map(
    logits: torch.Tensor,
    presence: torch.Tensor,
    query_classes: torch.Tensor,
    *,
    background: float,
    frame: Frame,
) -> torch.Tensor:
    """Which part each pixel belongs to, by :func:`part_probabilities`.

    Args:
        logits: (N, h, w) mask logits over the canvas.
        presence: (N,) probabilities.
        query_classes: (N,) class of each query.
        background: probability that a part must exceed.
        frame: of the photo.

    Returns:
        (H, W) uint8, class + 1, and 0 for background.
    """
    num_classes = int(query_classes.max()) + 1
    shares = part_probabilities(logits[None], presence[None], query_classes, num_classes)[0]
    best = torch.full(frame.original, background, device=logits.device)
    labels = torch.zeros(frame.original, dtype=torch.uint8, device=logits.device)
    first = 1
    for piece in to_original_frame(shares, frame):
        value, winner = piece.max(0)
        better = value > best
        labels[better] = (winner[better] + first).to(torch.uint8)
        best = torch.maximum(best, value)
        first += len(piece)
    return labels


def to_instances(
    logits: torch.Tensor,
    scores: torch.Tensor,
    classes: torch.Tensor,
    *,
    vehicles: torch.Tensor | None = None,
    kinds: VehicleKinds,
    frame: Frame,
) -> Instances:
    """Full-resolution instances, best first, without specks; empty masks are left out.

    Args:
        logits: (N, h, w) mask logits over the canvas.
        scores: (N,) in [0, 1].
        classes: (N,) int64.
        vehicles: (N,) int64 that of each; None to find them.
        kinds: by what they are found.
        frame: of the photo.
    """
    order = scores.argsort(descending=True, stable=True)
    pieces = [piece > 0 for piece in to_original_frame(logits[order], frame)]
    masks = torch.cat(pieces) if pieces else torch.zeros(0, *frame.original, dtype=torch.bool)
    seen = masks.flatten(1).any(1)
    masks, order = masks[seen], order[seen]
    masks, boxes = drop_specks(masks, mask_boxes(masks))
    instances = Instances(frame.original)
    instances.pred_masks = masks
    instances.pred_boxes = Boxes(boxes)
    instances.scores = scores[order]
    instances.pred_classes = classes[order]
    instances.vehicle_ids = (
        group_into_vehicles(
            instances.pred_boxes.tensor, instances.pred_classes, instances.scores, kinds
        )
        if vehicles is None
        else vehicles[order].unique(return_inverse=True)[1]
    )
    return instances


def mask_boxes(masks: torch.Tensor) -> torch.Tensor:
    """Tight XYXY pixel boxes (M, 4) float32 of bool masks (M, H, W); zeros for empty ones."""
    columns, rows = masks.any(1), masks.any(2)
    left, top = columns.int().argmax(1), rows.int().argmax(1)
    right = masks.shape[2] - columns.flip(1).int().argmax(1)
    bottom = masks.shape[1] - rows.flip(1).int().argmax(1)
    boxes = torch.stack([left, top, right, bottom], dim=1).float()
    return boxes * columns.any(1, keepdim=True)


def drop_specks(masks: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Keep the large pieces of each mask: specks far from a part would spoil its box.

    A piece is an 8-connected component. One with less than a fiftieth of the largest one's pixels
    is a speck. The work is done on the CPU, inside the boxes.

    Args:
        masks: (M, H, W) bool, none empty; on the CPU their memory is reused.
        boxes: (M, 4) float32, their tight XYXY boxes in pixels.

    Returns:
        Masks and boxes of what is kept, of the same shapes and on the same device.
    """
    pixels, tight = masks.cpu(), boxes.cpu().int().numpy()
    for mask, box in zip(pixels.numpy().view(np.uint8), tight, strict=True):
        left, top, right, bottom = box
        corner, part = (left, top), mask[top:bottom, left:right]
        _, labels, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA]
        # Label 0 is what lies around the pieces.
        large = areas >= _SPECK * areas[1:].max()
        large[0] = False
        if large[1:].all():
            continue
        part[:] = large[labels]
        starts, sizes = stats[large, :2], stats[large, 2:4]
        box[:] = [*(starts.min(0) + corner), *((starts + sizes).max(0) + corner)]
    return pixels.to(masks.device), torch.from_numpy(tight).to(boxes)
