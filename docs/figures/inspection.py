"""Draws ``docs/inspection.jpg``: the report of a rendered car, and a finding on it.

::

    python docs/figures/inspection.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sav.drawing.parts import CONFIDENT, keep_confident
from sav.drawing.sheet import Panel, write_sheet
from sav.formats.masks import encode_mask
from sav.formats.records import PartInstance
from sav.inspection.assigning import Assigner
from sav.inspection.assignments import AssignedPhoto
from sav.inspection.assignments_page import draw_assignment
from sav.inspection.page import draw_vehicle
from sav.inspection.report import Inspector
from sav.predict.predictor import SAVPredictor
from sav.synthetic import render_scene

_SEED, _SIDE = 9, 640
_BOX, _CARDBOARD = (slice(325, 470), slice(180, 310)), (150, 125, 90)
"""Rows and columns of a box that hides the front wheel, and its colour."""
_SCRATCH = ((420, 345), (44, 7), -4)
"""Centre, half axes and angle of an ellipse, in pixels and degrees."""


def draw(path: Path) -> None:
    """Predict a rendering, and write the picture."""
    rng = np.random.default_rng(_SEED)
    image = render_scene(rng, _SIDE, body_types=["sedan"], azimuth=55.0).image.copy()
    image[_BOX] = _CARDBOARD
    predictor = SAVPredictor.from_pretrained(device="cpu")
    parts = keep_confident(predictor(image), CONFIDENT)
    (vehicle, *_) = Inspector(predictor.ontology)(parts).vehicles
    missed = ", ".join(f"{part.name} ({part.share:.0%})" for part in vehicle.unseen)
    report = [f"seen from the {vehicle.side.name}: {len(vehicle.parts)} parts"]
    report.append(f"not seen: {missed}" if missed else "no other part should be seen")

    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(mask, *_SCRATCH, 0, 360, 1, -1)
    names, scores = predictor.class_names, parts.scores.tolist()
    known = [
        PartInstance(names[class_id], encode_mask(mask), 0, score)
        for class_id, mask, score in zip(
            parts.pred_classes.tolist(), parts.pred_masks.numpy(), scores, strict=True
        )
    ]
    assigner = Assigner(predictor.ontology)
    (found,) = assigner([PartInstance("scratch", encode_mask(mask))], known)
    photo = AssignedPhoto(path, path.name, _SIDE, _SIDE, known, {}, [found])
    shares = ", ".join(f"{o.name} {o.share_of_finding:.0%}" for o in found.overlaps)
    finding = [f"scratch: {found.status}", f"{shares}; side: {found.side}"]
    pictures = (
        draw_vehicle(image, parts, vehicle, predictor.ontology),
        draw_assignment(image, found, photo, predictor.ontology),
    )
    rows = [Panel(p, c) for p, c in zip(pictures, (report, finding), strict=True)]
    write_sheet(path, [rows])


if __name__ == "__main__":
    draw(Path(__file__).parents[1] / "inspection.jpg")
