"""The shipped model, exported, against the predictor on rendered photos."""

import json
from itertools import islice

import numpy as np
import pytest

from sav.export.exporter import describe, export_onnx
from sav.export.runtime import PartFinder
from sav.predict.predictor import SAVPredictor
from sav.synthetic import render_scene

from .parity import assert_alike, view_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The shipped model, exported once; views differ in what the runtime is told alone."""
    predictor = SAVPredictor.from_pretrained(device="cpu")
    folder = tmp_path_factory.mktemp("shipped")
    export_onnx(predictor.model, "", folder)
    return folder


def alone(rng):
    """Photos (512, 512, 3), nearly all of one vehicle."""
    while True:
        yield render_scene(rng, 512).image


def together(rng):
    """Photos (512, 512, 3) of two or three vehicles side by side."""
    while True:
        scene = render_scene(rng, 512)
        if len(scene.metadata["vehicles"]) > 1:
            yield scene.image


def far(rng):
    """Photos (1200, 1200, 3) of vehicles that are small in them, and are cut out."""
    for scene in together(rng):
        photo = np.full((1200, 1200, 3), 128, np.uint8)
        top, left = rng.integers(0, 1200 - 512, 2)
        photo[top : top + 512, left : left + 512] = scene
        yield photo


@pytest.mark.parametrize(
    ("vocabulary", "photos", "count"),
    [
        ("vehicle", alone, 20),
        ("vehicle", together, 20),
        ("vehicle", far, 16),
        ("vehicleseg10k", together, 8),
        ("dsmlr", together, 8),
    ],
)
def test_it_finds_what_the_predictor_finds(shipped, vocabulary, photos, count):
    predictor = SAVPredictor.from_pretrained(device="cpu", vocabulary=vocabulary)
    about = describe(predictor.model, view_of(predictor.model, vocabulary))
    (shipped / "model.json").write_text(json.dumps(about))
    finder, total = PartFinder(shipped, 1), 0
    for photo in islice(photos(np.random.default_rng(50)), count):
        parts = predictor(photo)
        assert_alike(finder(photo), parts)
        total += len(parts)
    assert total > 5 * count
