"""Draws ``docs/predictions.jpg``: renderings and what the shipped model finds in them.

::

    python docs/figures/predictions.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sav.drawing.parts import draw_parts, keep_confident
from sav.drawing.sheet import Panel, write_sheet
from sav.predict.predictor import SAVPredictor
from sav.synthetic import render_scene

_SEEDS, _SIDE, _SHOWN = (8, 5, 9), 1024, 560
"""Of scenes that no training has rendered; sides of the photos and of the pictures in pixels."""
_MARGIN = 1.3
"""Side of what is shown, as a multiple of the vehicle's long side."""


def draw(path: Path) -> None:
    """Predict the renderings, and write the picture."""
    predictor = SAVPredictor.from_pretrained(device="cpu")
    above, below = [], []
    for seed in _SEEDS:
        photo = render_scene(np.random.default_rng(seed), _SIDE).image
        parts = keep_confident(predictor(photo), 0.3)
        found = draw_parts(photo, parts, predictor.ontology, show_scores=False)
        window = _around(parts.pred_boxes.tensor.numpy())
        for row, picture in ((above, photo), (below, found)):
            size = (_SHOWN, _SHOWN)
            row.append(Panel(cv2.resize(picture[window], size, interpolation=cv2.INTER_AREA)))
    write_sheet(path, [above, below])


def _around(boxes: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a square around boxes (N, 4) XYXY, within the photo."""
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    side = min(_MARGIN * (high - low).max(), _SIDE)
    x, y = np.clip((low + high - side) / 2, 0, _SIDE - side).astype(int)
    return slice(y, y + int(side)), slice(x, x + int(side))


if __name__ == "__main__":
    draw(Path(__file__).parents[1] / "predictions.jpg")
