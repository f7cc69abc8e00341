"""The model that comes with the package."""

import json
import re

import numpy as np
import pytest

from sav import SAVPredictor
from sav.cli import dispatch
from sav.drawing.parts import CONFIDENT
from sav.formats.images import read_rgb
from sav.gallery.files import load_gallery
from sav.modeling.weights import gallery_fingerprint
from sav.run_folder import CONFIG_FILE, GALLERY_FOLDER, RESULTS_FILE, SHIPPED, WEIGHTS_FILE
from sav.synthetic import generate_dataset, render_scene


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three synthetic vehicles that no training has seen."""
    folder = tmp_path_factory.mktemp("unseen")
    generate_dataset(folder, splits={"valid": 3}, seed=12345)
    return sorted((folder / "images").rglob("*.jpg"))


def test_it_is_small():
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) < 25e6
    assert (SHIPPED / WEIGHTS_FILE).stat().st_size < 20e6


@pytest.mark.usefixtures("catalogs_as_before")
def test_it_is_as_good_as_it_says(tmp_path):
    """By the evaluators on photos that no training has seen, not by what a file says.

    It has 68.6 mIoU, 34.4 mask AP, 32.6 box AP, 94.0 F1 and 44.2 PQ on them; with random weights
    no figure is above 0.1.
    """
    unseen = {"splits": {"valid": 20}, "ontology": "vehicle"}
    generate_dataset(tmp_path / "unseen", seed=777, workers=1, **unseen)
    options = ["--splits", "valid", "--ontology", "vehicle"]
    dispatch(["prepare", "vehicleseg10k", "--root", str(tmp_path / "unseen"), *options])
    options = {
        "OUTPUT_DIR": str(tmp_path / "run"),
        "MODEL.DEVICE": "cpu",
        "MODEL.SAV.TEST.GALLERY": str(SHIPPED / GALLERY_FOLDER),
        "DATASETS.ROOT": str(tmp_path),
        "DATASETS.PARTS.unseen": "unseen/coco/instances_valid.json",
        "DATASETS.TEST": "('unseen',)",
        "DATASETS.TRAIN": "()",
    }
    keys_and_values = [word for option in options.items() for word in option]
    dispatch(["eval", "--model", str(SHIPPED), *keys_and_values])
    results = json.loads((tmp_path / "run" / RESULTS_FILE).read_text("utf-8"))["unseen"]
    assert results["parts"]["mIoU"] >= 60
    assert results["segm"]["AP"] >= 28
    assert results["bbox"]["AP"] >= 26
    assert results["vehicles"]["F1"] >= 88
    assert results["vehicles"]["PQ"] >= 38
    said = json.loads((SHIPPED / RESULTS_FILE).read_text("utf-8"))["synthetic_vehicle_valid"]
    for task, metric in (("parts", "mIoU"), ("segm", "AP"), ("bbox", "AP"), ("vehicles", "PQ")):
        assert results[task][metric] == pytest.approx(said[task][metric], abs=8)


def test_it_knows_no_path_of_the_machine_that_made_it():
    for file in (SHIPPED / CONFIG_FILE, SHIPPED / GALLERY_FOLDER / "gallery.json"):
        text = file.read_text("utf-8")
        assert not any(start in text for start in ("/home", "/work", "/tmp", "/root"))


def test_it_comes_with_a_gallery_of_its_own():
    predictor = SAVPredictor.from_pretrained()
    gallery = load_gallery(SHIPPED / GALLERY_FOLDER)
    assert len(gallery) >= 140
    gallery.check_fingerprint(gallery_fingerprint(predictor.model), "shipped")


def test_it_answers_in_any_view(photos):
    image = read_rgb(photos[0])
    for name in ("vehicle", "vehicleseg10k", "dsmlr", "udapart_car", "carparts_seg"):
        parts = SAVPredictor.from_pretrained(vocabulary=name)(image)
        assert (parts.scores > 0.5).sum() >= 3, name


def test_it_finds_the_parts_of_vehicles(photos):
    predictor = SAVPredictor.from_pretrained()
    for photo in photos:
        parts = predictor(read_rgb(photo))
        names = {predictor.class_names[i] for i in parts.pred_classes[parts.scores > 0.5].tolist()}
        assert len(names) >= 4, photo


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
