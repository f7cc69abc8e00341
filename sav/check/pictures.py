"""The small picture of a finding."""

from __future__ import annotations

import cv2
import numpy as np

from sav.check.finding import Finding
from sav.drawing.parts import overlay_masks, resize_image
from sav.formats.masks import decode_codes, mask_box
from sav.ontology import Ontology

_SIDE = 320
"""Pixels of each of the two squares."""
_MARGIN = 0.6
"""Around the marks, of their size."""
_OUTLINE = (255, 255, 255)
_PREDICTED = (255, 220, 0)


def draw_finding(finding: Finding, image: np.ndarray, ontology: Ontology) -> np.ndarray:
    """Draw the photo with the marks of a finding, and beside it what they lie on, enlarged.

    Args:
        finding: in this photo.
        image: (H, W, 3) uint8 RGB.
        ontology: names and colours of the classes.

    Returns:
        (320, 640, 3) uint8 RGB; the outline of an annotated part is white, that of a predicted one
        yellow.
    """
    if finding.photo.size != image.shape[:2]:
        # An annotation file that is wrong about the size: the masks cannot be placed.
        return np.concatenate([_square(image), _square(image)], axis=1)
    codes = [mark.code for mark in finding.marks]
    masks = decode_codes(codes, *finding.photo.size).astype(bool)
    names = [
        ontology.class_names[mark.class_id] + ("?" if mark.predicted else "")
        for mark in finding.marks
    ]
    colors = [ontology.colors[mark.class_id] for mark in finding.marks]
    scale = _SIDE / max(image.shape[:2])
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    whole = overlay_masks(resize_image(image, tuple(size)), masks, names, colors)
    return np.concatenate([_square(whole), _zoom(finding, image, masks)], axis=1)


def _zoom(finding: Finding, image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    shown = masks.any(0) if len(masks) else np.zeros((height, width), dtype=bool)
    x0, y0, x1, y1 = mask_box(shown) if shown.any() else (0, 0, width, height)
    reach = max(round((1 + 2 * _MARGIN) * max(x1 - x0, y1 - y0)) // 2, 24)
    x, y = (x0 + x1) // 2, (y0 + y1) // 2
    rows = slice(max(y - reach, 0), min(y + reach, height))
    columns = slice(max(x - reach, 0), min(x + reach, width))
    square = _square(image[rows, columns])
    for mark, mask in zip(finding.marks, masks, strict=True):
        crop = _square(np.repeat(255 * mask[rows, columns, None].astype(np.uint8), 3, axis=2))
        found, _ = cv2.findContours(
            (crop[..., 0] > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(square, found, -1, _PREDICTED if mark.predicted else _OUTLINE, 1)
    return square


def _square(image: np.ndarray) -> np.ndarray:
    """Fit an image into a square, on black."""
    scale = _SIDE / max(image.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    fitted = resize_image(np.ascontiguousarray(image), size)
    square = np.zeros((_SIDE, _SIDE, 3), dtype=np.uint8)
    square[: fitted.shape[0], : fitted.shape[1]] = fitted
    return square
