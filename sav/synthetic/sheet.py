"""A picture of what the renderer makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sav.drawing.sheet import Panel, write_sheet
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
        panels = []
        for view in range(views):
            rng = np.random.default_rng([seed, row, view])
            azimuth = 360 * (view + rng.uniform(-0.2, 0.2)) / views
            scene = render_scene(rng, image_size, body_types=[body_type], azimuth=azimuth)
            labels = colors[annotate(scene, mapping).index_map]
            caption = [] if view else [body_type]
            panels.append(Panel(np.concatenate([scene.image, labels]), caption))
        rows.append(panels)
    write_sheet(Path(path), rows)
    return Path(path)
