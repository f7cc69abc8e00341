"""Pictures of part instances, in the ontology's colours."""

from __future__ import annotations

import cv2
import numpy as np

from sav.d2 import Instances
from sav.drawing.overlay import overlay_masks
from sav.ontology import Ontology

CONFIDENT = 0.3
"""Score from which parts are shown: the best F1 on the quickstart's valid set lies there."""


def draw_parts(
    image: np.ndarray,
    parts: Instances,
    ontology: Ontology,
    *,
    min_side: int = 768,
    max_side: int | None = None,
    show_scores: bool = True,
) -> np.ndarray:
    """Draw part masks with their names.

    A class has the same colour in all pictures, so also in all frames of a video.

    Args:
        image: (H, W, 3) uint8 RGB.
        parts: pred_masks (N, H, W) bool and pred_classes (N,); scores (N,) optional.
        ontology: names and colours of the classes.
        min_side: a smaller image is enlarged until its long side has this many pixels, so that
            text stays legible.
        max_side: a larger image is reduced to this; None keeps its size.
        show_scores: write scores, where there are any, behind the names.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    size = drawing_size(image.shape[1], image.shape[0], min_side, max_side)
    classes = parts.pred_classes.tolist()
    labels = [ontology.class_names[c] for c in classes]
    if show_scores and parts.has("scores"):
        scores = parts.scores.tolist()
        labels = [f"{name} {score:.0%}" for name, score in zip(labels, scores, strict=True)]
    colors = [ontology.colors[c] for c in classes]
    return overlay_masks(resize_image(image, size), parts.pred_masks.cpu().numpy(), labels, colors)


def drawing_size(
    width: int, height: int, min_side: int, max_side: int | None = None
) -> tuple[int, int]:
    """Size (width, height) of a drawing whose long side lies between the two sides given."""
    long_side = max(width, height)
    side = max(long_side, min_side)
    if max_side is not None:
        side = min(side, max_side)
    return max(1, round(width * side / long_side)), max(1, round(height * side / long_side))


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a uint8 image to (width, height) for display."""
    if image.shape[1::-1] == size:
        return image
    shrinks = size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def keep_confident(parts: Instances, score_threshold: float) -> Instances:
    """The instances whose score is at least `score_threshold`."""
    return parts[parts.scores >= score_threshold]
