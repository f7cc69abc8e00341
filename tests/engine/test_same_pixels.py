"""Gallery, evaluation and prediction see the same pixels of a photo."""

import json

import cv2
import numpy as np
import pytest
import torch

from sav.d2 import build_model
from sav.data.registration import register_part_datasets
from sav.engine.evaluate import evaluate
from sav.engine.gallery import build_gallery
from sav.formats.images import read_rgb
from sav.ontology import load_ontology
from sav.predict.predictor import SAVPredictor

from ..tiny import SIZE, tiny_config

pytestmark = pytest.mark.usefixtures("catalogs_as_before")
SIZES = [(298, 400), (251, 333), (400, 299), (333, 120), (45, 31), (17, 50), (48, 64), (64, 64)]
"""Heights and widths; a few are smaller than the canvas of 64 pixels, two fit it."""


@pytest.fixture
def cfg(tmp_path):
    """With a data set of photos of each size, filled by their vehicles."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index, (height, width) in enumerate(SIZES, start=1):
        blobs = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        photo = cv2.resize(blobs, (width, height), interpolation=cv2.INTER_CUBIC)
        photo[::2, 1::2] = rng.integers(0, 256, photo[::2, 1::2].shape)  # what shrinking averages
        cv2.imwrite(str(tmp_path / f"{index}.png"), photo)
        size = {"width": width, "height": height}
        images.append({"id": index, "file_name": f"{index}.png", **size})
        outline = [0, 0, width, 0, width, height, 0, height]
        annotation = {"id": index, "image_id": index, "category_id": 1, "iscrowd": 0}
        box = {"bbox": [0, 0, width, height], "area": width * height}
        annotations.append({**annotation, **box, "segmentation": [outline]})
    names = load_ontology("vehicleseg10k").class_names
    contents = {
        "info": {"ontology": "vehicleseg10k", "image_root": "."},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
    }
    (tmp_path / "awkward.json").write_text(json.dumps(contents))
    cfg = tiny_config()
    cfg.DATASETS.PARTS["awkward"] = str(tmp_path / "awkward.json")
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ("awkward",)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.OUTPUT_DIR = str(tmp_path)
    register_part_datasets(cfg)
    return cfg


@pytest.fixture
def photos(cfg, tmp_path):
    return [read_rgb(tmp_path / f"{index}.png") for index in range(1, len(SIZES) + 1)]


def test_the_encoder_gets_bitwise_the_same(cfg, photos):
    model = build_model(cfg).eval()
    seen = {}

    def seen_by(name, use):
        taken = []
        hook = model.encoder.register_forward_pre_hook(lambda _, args: taken.append(args[0]))
        use()
        hook.remove()
        seen[name] = torch.cat(taken)

    seen_by("gallery", lambda: build_gallery(cfg, model))
    seen_by("evaluation", lambda: evaluate(cfg, model))
    predictor = SAVPredictor(cfg, model)
    seen_by("prediction", lambda: predictor.predict_batch(photos))
    seen_by("query", lambda: [predictor.nearest(photo, 1) for photo in photos])
    for name, pixels in seen.items():
        assert pixels.shape == (len(SIZES), 3, SIZE, SIZE), name
        assert torch.equal(pixels, seen["evaluation"]), name


def test_a_photo_is_its_own_nearest_neighbour(cfg, photos):
    model = build_model(cfg)
    # Parts faintly everywhere: random weights see one vehicle in a photo, and it fills the canvas.
    torch.nn.init.constant_(model.decoder.presence.layers[-1].bias, -4.0)
    torch.nn.init.zeros_(model.decoder.mask_bias)
    with torch.no_grad():
        model.decoder.shortcut.weight *= 0.2
    model.context.gallery = build_gallery(cfg, model)
    predictor = SAVPredictor(cfg, model)
    for index, photo in enumerate(photos, start=1):
        first = predictor.nearest(photo, len(SIZES))[0]
        assert (first.vehicle.photo.id, first.mirrored) == (f"awkward/{index}", False)
        assert first.similarity == pytest.approx(1, abs=1e-6)
