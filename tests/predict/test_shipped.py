"""The model that comes with the package."""

import json
import re

import numpy as np
import pytest

from sav import SAVPredictor
from sav.cli import dispatch
from sav.drawing.parts import CONFIDENT
from sav.formats.images import read_rgb
from sav.run_folder import CONFIG_FILE, GALLERY_FOLDER, RESULTS_FILE, SHIPPED, WEIGHTS_FILE
from sav.synthetic import generate_dataset, render_scene


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three synthetic vehicles that no training has seen."""
    folder = tmp_path_factory.mktemp("unseen")
    generate_dataset(folder, splits={"valid": 3}, seed=12345)
    return sorted((folder / "images").rglob("*.jpg"))


def test_it_is_small_and_says_how_good_it_is():
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) < 25e6
    assert (SHIPPED / WEIGHTS_FILE).stat().st_size < 20e6
    results = json.loads((SHIPPED / RESULTS_FILE).read_text("utf-8"))["synthetic_valid"]
    assert results["parts"]["mIoU"] >= 80
    assert results["segm"]["AP"] >= 50


def test_it_knows_no_path_of_the_machine_that_made_it():
    for file in (SHIPPED / CONFIG_FILE, SHIPPED / GALLERY_FOLDER / "gallery.json"):
        text = file.read_text("utf-8")
        assert not any(start in text for start in ("/home", "/work", "/tmp", "/root"))


def test_it_finds_the_parts_of_vehicles(photos):
    predictor = SAVPredictor.from_pretrained()
    assert len(predictor.model.context.gallery) > 100
    for photo in photos:
        parts = predictor(read_rgb(photo))
        names = {predictor.class_names[i] for i in parts.pred_classes[parts.scores > 0.5].tolist()}
        assert "Foreground" in names, photo
        assert len(names) >= 3, photo


def test_it_finds_nothing_where_there_is_no_vehicle():
    predictor = SAVPredictor.from_pretrained()
    rng = np.random.default_rng(12345)
    places = [render_scene(rng, body_types=[]).image for _ in range(10)]
    black = np.zeros((256, 256, 3), np.uint8)
    noise = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    for index, image in enumerate([*places, black, 255 - black, noise]):
        assert (predictor(image).scores < CONFIDENT).all(), index


def test_predict_needs_nothing_but_a_photo(photos, tmp_path, capsys):
    dispatch(["predict", str(photos[0]), "--output", str(tmp_path)])
    assert list(tmp_path.iterdir())
    assert re.search(r"[1-9]\d* parts found", capsys.readouterr().out)
