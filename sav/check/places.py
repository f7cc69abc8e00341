"""Parts that lie apart from the vehicle that they are said to belong to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sav.check.finding import Finding
from sav.check.photos import Part, Photo
from sav.ontology import Ontology

_APART = 0.35
"""Gap to the nearest other part, of the long side of the vehicle's box."""


def check_places(photo: Photo, ontology: Ontology) -> Iterator[Finding]:
    """Look at each vehicle of a photo that has three parts or more."""
    for parts in photo.vehicles():
        if len(parts) < 3:
            continue
        boxes = np.array([part.box for part in parts])
        for row, part in enumerate(parts):
            yield from _check_part(photo, part, boxes[row], np.delete(boxes, row, 0), ontology)


def _check_part(
    photo: Photo, part: Part, box: np.ndarray, others: np.ndarray, ontology: Ontology
) -> Iterator[Finding]:
    every = np.vstack([others, box])
    size = (every[:, 2:].max(0) - every[:, :2].min(0)).max()
    gaps = np.maximum(others[:, :2] - box[2:], box[:2] - others[:, 2:]).clip(min=0)
    gap = float(np.hypot(*gaps.T).min() / size)
    if gap >= _APART:
        name = ontology.class_names[part.class_id]
        text = f"{name} lies {gap:.0%} of its vehicle's size from the other parts"
        yield Finding(
            "outside", 1 - np.exp(-3 * gap), photo, text, (name,), (part.id,), (part.mark,)
        )
