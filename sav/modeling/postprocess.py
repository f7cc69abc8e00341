"""From the decoder's logits to named parts in the pixels of the original photo."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch

from sav.d2 import Boxes, Instances
from sav.modeling.grouping import VehicleKinds, group_into_vehicles
from sav.modeling.original_frame import Enlarged, Frame, enlarge

# A piece of a mask with less than this share of its largest piece's pixels is a speck. Real parts
# have small pieces too, such as doors behind a post: a share of 0.1 takes 4.6 box AP from the
# shipped model, 0.02 gives it 1.9.
_SPECK = 0.02
_LOGIT_EPS = 1e-6
# Log odds above it are sure enough: which of two parts is seen there is a matter of size. Without
# it doors cover most mirrors, which an annotated door has below it.
_SURE = 1.0


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
    none_of = torch.ones(logits.shape[0], num_classes, *logits.shape[2:], device=logits.device)
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
    """Which part each pixel belongs to, by :func:`part_probabilities` and :func:`draw_labels`.

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
    likely = part_probabilities(logits[None], presence[None], query_classes, num_classes)[0]
    return draw_labels(likely, background, frame)


def draw_labels(likely: torch.Tensor, background: float, frame: Frame) -> torch.Tensor:
    """Draw the classes that are likely enough, the smaller over the larger, as truth is drawn.

    Where several are, the greatest of log odds, cut off at 1, less half the log of the area: small
    parts lie over those that surely go on below them, and a faint part over none. Odds are
    enlarged as logits, by which training compares masks with the truth between two cells.

    Args:
        likely: (C, h, w) probability of each class over the canvas.
        background: probability that a class must exceed.
        frame: of the photo.

    Returns:
        (H, W) uint8, class + 1, and 0 for background.
    """
    likely = likely.detach()
    odds = torch.logit(likely, eps=_LOGIT_EPS)
    least = math.log(background / (1 - background))
    sizes = 0.5 * (likely * (odds > least)).sum((1, 2)).log1p()
    best = torch.full(frame.original, -math.inf, device=likely.device)
    labels = torch.zeros(frame.original, dtype=torch.uint8, device=likely.device)
    for piece in enlarge(odds, least, frame):
        rank = piece.values.clamp(max=_SURE) - sizes[piece.row]
        _draw(piece, rank.masked_fill(piece.values <= least, -math.inf), best, labels)
    return labels


def greatest(maps: torch.Tensor, least: float, frame: Frame) -> torch.Tensor:
    """Which of C maps (C, h, w) over the canvas is greatest at each pixel of the photo.

    Returns:
        (H, W) uint8, the map's number + 1, and 0 where none exceeds ``least``.
    """
    best = torch.full(frame.original, least, device=maps.device)
    labels = torch.zeros(frame.original, dtype=torch.uint8, device=maps.device)
    for piece in enlarge(maps, least, frame):
        _draw(piece, piece.values, best, labels)
    return labels


def _draw(piece: Enlarged, rank: torch.Tensor, best: torch.Tensor, labels: torch.Tensor) -> None:
    """Give a piece of a map the pixels where it ranks higher than what was ``best`` so far."""
    best_here, labels_here = piece.within(best), piece.within(labels)
    labels_here[rank > best_here] = piece.row + 1
    torch.maximum(best_here, rank, out=best_here)


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
    found = []
    for piece in enlarge(logits[order], 0.0, frame):
        part = (piece.values > 0).cpu().numpy().view(np.uint8)
        if part.any():
            found.append((piece.row, piece.place, *drop_specks(part)))
    masks = torch.zeros(len(found), *frame.original, dtype=torch.bool, device=logits.device)
    boxes = torch.zeros(len(found), 4)
    for row, (_, place, part, box) in enumerate(found):
        masks[row][place] = torch.from_numpy(part.view(bool)).to(masks.device)
        boxes[row] = box + torch.tensor([place[1].start, place[0].start] * 2)
    order = order[[number for number, *_ in found]]
    instances = Instances(frame.original)
    instances.pred_masks = masks
    instances.pred_boxes = Boxes(boxes.to(logits.device))
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


def drop_specks(part: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
    """Keep the large pieces of a mask: specks far from a part would spoil its box.

    A piece is an 8-connected component. One with less than a fiftieth of the largest one's pixels
    is a speck.

    Args:
        part: (h, w) uint8, 0 and 1, not empty.

    Returns:
        What is kept, (h, w) uint8, and its tight XYXY box (4,) float32 in pixels.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    # Label 0 is what lies around the pieces.
    large = areas >= _SPECK * areas[1:].max()
    large[0] = False
    part = part.copy()
    for speck in np.flatnonzero(~large)[1:]:
        left, top, width, height = stats[speck, :4]
        around = slice(top, top + height), slice(left, left + width)
        part[around][labels[around] == speck] = 0
    starts, sizes = stats[large, :2], stats[large, 2:4]
    box = [*starts.min(0), *(starts + sizes).max(0)]
    return part, torch.tensor(box, dtype=torch.float32)
