"""Masks that are suspicious by themselves: empty, tiny, flat, or with stray pixels."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from sav.check.finding import Finding
from sav.check.photos import Part, Photo
from sav.ontology import Ontology

_TINY = 16  # pixels
_FLAT = 2  # pixels across
_LONG = 8  # times as long as across
_STRAY = 0.02
"""Share of the largest piece that a stray piece does not exceed: prediction drops such, too."""
_APART = 0.1
"""Of the main piece's size: what is nearer may be cut off by a mirror or a pillar."""


def check_shapes(photo: Photo, ontology: Ontology) -> Iterator[Finding]:
    """Look at each mask alone."""
    for part in photo.parts:
        name = ontology.class_names[part.class_id]
        here = {"photo": photo, "classes": (name,), "parts": (part.id,)}
        if not part.area:
            yield Finding("empty", 1.0, text=f"{name}: the mask has no pixel", **here)
            continue
        here["marks"] = (part.mark,)
        width, height = (part.box[2:] - part.box[:2]).tolist()
        if part.area < _TINY:
            likely = 1 - part.area / (2 * _TINY)
            yield Finding("tiny", likely, text=f"{name}: {part.area} pixels", **here)
        elif min(width, height) <= _FLAT and max(width, height) >= _LONG * min(width, height):
            text = f"{name}: {width} x {height} pixels"
            yield Finding("flat", 0.8, text=text, **here)
        else:
            yield from _stray(part, name, here)


def _stray(part: Part, name: str, here: dict[str, object]) -> Iterator[Finding]:
    mask = part.crop()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 3:
        return
    areas = stats[1:, cv2.CC_STAT_AREA]
    main = int(areas.argmax()) + 1
    others = (labels != main).astype(np.uint8)
    distance = cv2.distanceTransform(others, cv2.DIST_L2, 5)
    size = float(np.sqrt(areas.max()))
    stray = [
        (int(area), float(distance[labels == label].min()))
        for label, area in enumerate(areas, start=1)
        if label != main and area <= max(_STRAY * areas.max(), 2)
    ]
    far = [(area, gap) for area, gap in stray if gap > max(_APART * size, 3.0)]
    if not far:
        return
    gap = max(gap for _, gap in far)
    pixels = sum(area for area, _ in far)
    text = f"{name}: {pixels} pixels in {len(far)} pieces up to {gap:.0f} pixels off the main piece"
    yield Finding("stray", float(gap / (gap + size)) ** 0.5, text=text, **here)
