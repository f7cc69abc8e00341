"""Assigned findings as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sav.drawing.page import MOST_PICTURES, jpeg_uri, render_page
from sav.drawing.parts import drawing_size, overlay_masks, resize_image
from sav.formats.images import read_rgb
from sav.formats.masks import mask_box
from sav.formats.records import Problem
from sav.inspection.assigning import Assigner, Assignment
from sav.inspection.assignments import AssignedPhoto
from sav.ontology import Ontology

_SIDE = 400
"""Long side of each of the two pictures of a finding, in pixels."""
_MARGIN = 1.0
"""Around a finding that is enlarged, of its size."""
_FINDING = (255, 0, 200)
_TEMPLATE = Path(__file__).with_name("assignments.html")


class AssignmentsPage:
    """Collects the photos of a page.

    Args:
        assigner: that assigns their findings.
        source: where the parts are from, in a few words.
    """

    def __init__(self, assigner: Assigner, source: str) -> None:
        self._assigner, self._source = assigner, source
        self._photos: list[dict[str, Any]] = []
        self._count = 0

    def add(self, photo: AssignedPhoto) -> None:
        """Add a photo; it is opened where it has findings that are shown.

        Raises:
            SAVError: it cannot be read; it is not added then.
        """
        shown = max(0, min(len(photo.assignments), MOST_PICTURES - self._count))
        image = read_rgb(photo.image) if shown else None
        findings = []
        for place, assignment in enumerate(photo.assignments):
            picture = None
            if place < shown:
                drawn = draw_assignment(image, assignment, photo, self._assigner.ontology)
                picture = jpeg_uri(drawn)
            self._count += 1
            findings.append({"number": self._count, "assignment": assignment, "picture": picture})
        self._photos.append({"name": photo.name, "vehicles": photo.vehicles, "findings": findings})

    def render(self, problems: Sequence[Problem]) -> bytes:
        """The page, UTF-8.

        Args:
            problems: findings and photos that were skipped; the page lists them.
        """
        return render_page(
            _TEMPLATE,
            photos=self._photos,
            count=self._count,
            source=self._source,
            least=self._assigner.least,
            clear=self._assigner.clear,
            most=MOST_PICTURES,
            problems=[str(problem) for problem in problems],
        )


def draw_assignment(
    image: np.ndarray, assignment: Assignment, photo: AssignedPhoto, ontology: Ontology
) -> np.ndarray:
    """Draw a finding and the parts on which it lies, and beside it the same enlarged.

    Args:
        image: (H, W, 3) uint8 RGB.
        assignment: of the finding.
        photo: that shows it.
        ontology: names and colours of the parts.

    Returns:
        (H', W', 3) uint8 RGB; the finding is magenta.
    """
    parts = [photo.parts[overlap.index] for overlap in assignment.overlaps]
    finding = assignment.finding
    masks = np.stack([finding.mask, *(part.mask for part in parts)])
    names = [finding.label, *(part.label for part in parts)]
    colors = [_FINDING, *(ontology.colors[ontology.class_id(part.label)] for part in parts)]
    height, width = image.shape[:2]
    left, top, right, bottom = mask_box(finding.mask)
    reach = max(round((0.5 + _MARGIN) * max(right - left, bottom - top)), 16)
    x, y = (left + right) // 2, (top + bottom) // 2
    near = slice(max(y - reach, 0), y + reach), slice(max(x - reach, 0), x + reach)
    drawn = [
        _draw(image[window], masks[:, *window], names, colors)
        for window in ((slice(0, height), slice(0, width)), near)
    ]
    tall = max(picture.shape[0] for picture in drawn)
    filled = [
        np.pad(p, ((0, tall - p.shape[0]), (0, 8), (0, 0)), constant_values=255) for p in drawn
    ]
    return np.concatenate(filled, axis=1)


def _draw(
    image: np.ndarray,
    masks: np.ndarray,
    names: Sequence[str],
    colors: Sequence[Sequence[int]],
) -> np.ndarray:
    size = drawing_size(image.shape[1], image.shape[0], _SIDE, _SIDE)
    return overlay_masks(resize_image(np.ascontiguousarray(image), size), masks, names, colors)
