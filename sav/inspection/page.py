"""The reports of a folder as one HTML page that needs nothing else."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sav.d2 import Instances
from sav.drawing.page import MOST_PICTURES, jpeg_uri, render_page
from sav.drawing.parts import draw_parts
from sav.files import write_atomic
from sav.inspection.report import PhotoReport, VehicleReport
from sav.ontology import Ontology

_SIDE = 640
"""Long side of a picture in pixels."""
_MARGIN = 0.08
"""Around a vehicle, of its size."""
_TEMPLATE = Path(__file__).with_name("report.html")


class ReportPage:
    """Collects the photos of a page.

    Args:
        ontology: of all parts.
    """

    def __init__(self, ontology: Ontology) -> None:
        self._ontology = ontology
        self._photos: list[dict[str, Any]] = []
        self._prior: str | None = None
        self._pictures = 0

    def add(self, name: str, image: np.ndarray, parts: Instances, report: PhotoReport) -> None:
        """Add a photo.

        Args:
            name: of its file; any characters.
            image: (H, W, 3) uint8 RGB.
            parts: that the report is of.
            report: on it.
        """
        number = len(self._photos) + 1
        vehicles = [
            {
                "link": f"photo{number}-{place}",
                "title": f"{name}, vehicle {vehicle.vehicle_id}",
                "report": vehicle,
                "picture": self._picture(image, parts, vehicle),
            }
            for place, vehicle in enumerate(report.vehicles, start=1)
        ]
        self._append(name, vehicles, "No vehicle found.")
        self._prior = report.prior

    def add_unread(self, name: str) -> None:
        """Add a photo that cannot be read, so that nobody takes the page for all photos.

        Args:
            name: of its file; any characters.
        """
        self._append(name, [], "This photo could not be read.")

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            SAVError: it cannot be written.
        """
        colors = [f"rgb({r}, {g}, {b})" for r, g, b in self._ontology.colors]
        page = render_page(
            _TEMPLATE,
            photos=self._photos,
            parts=self._index(),
            prior=self._prior,
            ontology=self._ontology.name,
            colors=colors,
            most=MOST_PICTURES,
        )
        write_atomic(path, page)

    def _append(self, name: str, vehicles: list[dict[str, Any]], empty: str) -> None:
        """``empty`` is what is said of a photo without vehicles."""
        link = f"photo{len(self._photos) + 1}"
        self._photos.append({"link": link, "name": name, "vehicles": vehicles, "empty": empty})

    def _index(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """For each class that is seen or missed, the vehicles."""
        found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(
            lambda: {"seen": [], "unseen": []}
        )
        for vehicle in (vehicle for photo in self._photos for vehicle in photo["vehicles"]):
            for kind, parts in (
                ("seen", vehicle["report"].parts),
                ("unseen", vehicle["report"].unseen),
            ):
                for name in dict.fromkeys(part.name for part in parts):
                    found[name][kind].append(vehicle)
        return {name: found[name] for name in self._ontology.class_names if name in found}

    def _picture(self, image: np.ndarray, parts: Instances, vehicle: VehicleReport) -> str | None:
        if self._pictures == MOST_PICTURES:
            return None
        self._pictures += 1
        return jpeg_uri(draw_vehicle(image, parts, vehicle, self._ontology))


def draw_vehicle(
    image: np.ndarray, parts: Instances, vehicle: VehicleReport, ontology: Ontology
) -> np.ndarray:
    """Cut a vehicle out of its photo and draw its parts.

    Args:
        image: (H, W, 3) uint8 RGB.
        parts: that the report is of.
        vehicle: of the report.
        ontology: of the parts.

    Returns:
        (H', W', 3) uint8 RGB, the longer side 640.
    """
    left, top, right, bottom = vehicle.box
    margin = round(_MARGIN * max(right - left, bottom - top))
    rows = slice(max(top - margin, 0), bottom + margin)
    columns = slice(max(left - margin, 0), right + margin)
    own = torch.tensor([part.index for part in vehicle.parts])
    crop = np.ascontiguousarray(image[rows, columns])
    shown = Instances(crop.shape[:2])
    shown.pred_masks = parts.pred_masks[:, rows, columns][own]
    shown.pred_classes = parts.pred_classes[own]
    return draw_parts(crop, shown, ontology, min_side=_SIDE, max_side=_SIDE)
