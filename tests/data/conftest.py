"""Small data sets on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (48, 64)  # height, width


def box(x0, y0, x1, y1):
    """Corner points of a rectangle."""
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def shape(label, points, group_id=None, **more):
    return {"label": label, "points": points, "group_id": group_id, "shape_type": "polygon", **more}


CAR = [
    shape("Left front door", box(20, 10, 40, 30), 0),
    shape("Foreground", box(10, 5, 60, 40), 0),
    shape("Left front window", box(22, 10, 38, 18), 0),
    shape("Wheel", box(12, 34, 20, 44), 0),
    shape("Wheel", box(44, 34, 52, 44), 0),
]


class VehicleSegFolder:
    """Writes a data set in VehicleSeg10K's layout."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def image(self, stem, split="train", size=SIZE, **options):
        folder = self.root / "images" / split
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{stem}.jpg", **options)
        return folder / f"{stem}.jpg"

    def labelme(self, stem, shapes, split="train", size=SIZE):
        folder = self.root / "annotations" / split
        folder.mkdir(parents=True, exist_ok=True)
        contents = {"shapes": shapes, "imageHeight": size[0], "imageWidth": size[1]}
        (folder / f"{stem}.json").write_text(json.dumps(contents))
        return folder / f"{stem}.json"

    def mask(self, stem, labels, split="train"):
        folder = self.root / "annotations" / split
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(folder / f"{stem}.png")
        return folder / f"{stem}.png"

    def add(self, stem, shapes=CAR, split="train"):
        self.image(stem, split)
        self.labelme(stem, shapes, split)


@pytest.fixture
def folder(tmp_path):
    return VehicleSegFolder(tmp_path / "cars")
