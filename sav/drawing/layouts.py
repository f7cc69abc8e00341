"""Pictures of part layouts: where a vehicle has its parts, without its photo."""

from __future__ import annotations

import cv2
import numpy as np

from sav.drawing.parts import overlay_masks
from sav.ontology import Ontology

_BACKGROUND = (225, 225, 225)


def draw_layout(layout: np.ndarray, ontology: Ontology, size: tuple[int, int]) -> np.ndarray:
    """Draw a layout in the ontology's colours, with the names of its parts.

    Args:
        layout: (C, m, m) uint8, the share of each class in each cell of the vehicle's box, 255 for
            all of it.
        ontology: names and colours of the C classes.
        size: width and height of the picture in pixels.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    labels = layout_labels(layout, size)
    present = np.setdiff1d(labels, 0)
    names = [ontology.class_names[label - 1] for label in present]
    colors = [ontology.colors[label - 1] for label in present]
    palette = np.array([_BACKGROUND, *ontology.colors], dtype=np.uint8)
    return overlay_masks(palette[labels], labels == present[:, None, None], names, colors)


def layout_labels(layout: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which class has the largest share at each pixel; see :func:`draw_layout`.

    The shares are enlarged, not the labels: so outlines are smooth, and finer than the cells.

    Returns:
        (height, width) uint8, class + 1, and 0 where the share of no class is the largest.
    """
    enlarged = [cv2.resize(s.astype(float), size, interpolation=cv2.INTER_CUBIC) for s in layout]
    background = 255 - np.sum(enlarged, axis=0)
    return np.argmax([background, *enlarged], axis=0).astype(np.uint8)
