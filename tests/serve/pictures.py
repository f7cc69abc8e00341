"""Takes the pictures of docs/serve.md: ``python -m tests.serve.pictures``, with Chromium."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from sav.cli import dispatch
from sav.predict.predictor import SAVPredictor
from sav.predict.writers import describe_parts
from sav.run_folder import SHIPPED
from sav.synthetic import generate_dataset, render_scene

from .browser import ROOT, browser, choose, point_at, server

_SIZE = (1240, 1210)
_QUALITY = 80
_PICTURE = ROOT / "docs" / "serve.jpg"
_SEEN = slice(120, 560)  # rows: a photo is wider than high
_VEHICLES = 60
_PART = "left_front_door"


def main() -> None:
    """Render vehicles, put some into a gallery, and ask for the parts of another one."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        generate_dataset(folder / "synthetic", splits={"train": _VEHICLES}, seed=5, workers=1)
        words = ("--root", folder / "synthetic", "--splits", "train", "--workers", "1")
        dispatch(["prepare", "vehicleseg10k", *map(str, words)])
        annotations = folder / "synthetic" / "coco" / "instances_train.json"
        words = ("--model", SHIPPED, "--json", annotations, "--output", folder / "gallery")
        dispatch(["gallery", "build", *map(str, words)])
        scene = render_scene(np.random.default_rng(11), 640, body_types=["suv"], azimuth=55)
        image = scene.image[_SEEN]
        Image.fromarray(image).save(folder / "car.png")
        predictor = SAVPredictor.from_pretrained(gallery=folder / "gallery", device="cpu")
        parts = describe_parts(predictor(image), predictor.ontology)
        with (
            server("--gallery", str(folder / "gallery")) as (_, url),
            browser(folder, _SIZE) as page,
        ):
            page.get(url)
            choose(page, folder / "car.png")
            point_at(page, next(part for part in parts if part["name"] == _PART))
            page.save_screenshot(str(folder / "page.png"))
        with Image.open(folder / "page.png") as picture:
            picture.convert("RGB").save(_PICTURE, quality=_QUALITY, optimize=True)
    sys.stdout.write(f"{_PICTURE}: {_PICTURE.stat().st_size / 1024:.0f} KiB\n")


if __name__ == "__main__":
    main()
