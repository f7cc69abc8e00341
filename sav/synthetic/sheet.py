"""A picture of what the renderer makes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sav.synthetic.annotate import annotate
from sav.synthetic.bodies import BODY_TYPES
from sav.synthetic.parts import load_mapping
from sav.synthetic.scene import render_scene


def contact_sheet(
    path: str | Path,
    *,
    ontology: str = "vehicleseg10k",
    seed: int = 0,
    image_size: int = 256,
    views: int = 6,
) -> Path:
    """Write a PNG of every body type from all around, each image above its label map.

    Args:
        path: of the PNG; its folder is made.
        ontology: whose classes and colours the label maps show.
        seed: of the scenes.
        image_size: side of each picture in pixels.
        views: number of azimuths, evenly spread.

    Returns:
        `path`.
    """
    mapping = load_mapping(ontology)
    colors = np.array([(0, 0, 0), *mapping.ontology.colors], np.uint8)
    rows = []
    for row, body_type in enumerate(BODY_TYPES):
        cells = []
        for view in range(views):
            rng = np.random.default_rng([seed, row, view])
            azimuth = 360 * (view + rng.uniform(-0.2, 0.2)) / views
            scene = render_scene(rng, image_size, body_types=[body_type], azimuth=azimuth)
            labels = colors[annotate(scene, mapping).index_map]
            cells.append(np.concatenate([scene.image, labels]))
        strip = np.concatenate(cells, axis=1)
        title = np.full((24, strip.shape[1], 3), 255, np.uint8)
        cv2.putText(
            title, body_type, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (20, 20, 20), 1, cv2.LINE_AA
        )
        rows += [title, strip]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = np.concatenate(rows)[..., ::-1]
    path.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    return path
