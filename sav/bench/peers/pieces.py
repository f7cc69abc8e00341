"""Instances of models that know classes alone: connected components."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from sav.bench.peers.peer import MOST_INSTANCES
from sav.d2 import Instances
from sav.modeling.grouping import VehicleKinds
from sav.modeling.original_frame import Frame
from sav.modeling.postprocess import to_instances


def read_pieces(
    logits: torch.Tensor,
    probabilities: torch.Tensor,
    scores: torch.Tensor,
    *,
    threshold: float,
    kinds: VehicleKinds,
    frame: Frame,
) -> Instances:
    """Each piece of the mask of a class, as an instance.

    A piece is an 8-connected component of the places with a logit above 0. Its score is that of its
    class times the mean probability inside.

    Args:
        logits: (C, h, w) of the masks of the classes, over the canvas.
        probabilities: (C, h, w).
        scores: (C,) in [0, 1].
        threshold: pieces of a lower score are left out.
        kinds: by what vehicles are found.
        frame: of the photo.
    """
    classes, inside = _split(logits)
    sizes = inside.sum((1, 2))
    means = (probabilities[classes] * inside).sum((1, 2)) / sizes
    scores = scores[classes] * means
    best = scores.topk(min(MOST_INSTANCES, len(scores))).indices
    best = best[scores[best] >= threshold]
    classes, inside = classes[best], inside[best]
    # Pieces of one class do not touch, so those of the others can turn negative.
    alone = torch.where(inside, logits[classes], -logits[classes].abs())
    return to_instances(alone, scores[best], classes, kinds=kinds, frame=frame)


def _split(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The class (P,) and the places (P, h, w) bool of each piece."""
    shown = (logits > 0).cpu().numpy().view(np.uint8)
    classes, pieces = [], [np.zeros((0, *shown.shape[1:]), dtype=bool)]
    for number, mask in enumerate(shown):
        count, labels = cv2.connectedComponents(mask, connectivity=8)
        classes += [number] * (count - 1)
        pieces.append(labels == np.arange(1, count)[:, None, None])
    found = torch.from_numpy(np.concatenate(pieces)).to(logits.device)
    return torch.tensor(classes, dtype=torch.int64, device=logits.device), found
