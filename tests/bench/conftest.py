import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from sav.ontology import load_ontology

from ..engine.toy import CONFIG, draw

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _like_a_process_of_its_own(monkeypatch, catalogs_as_before):
    """And the processes that it starts find this code."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def root(tmp_path):
    """Eleven photos in two data sets, no two of them alike, and a config."""
    draw(tmp_path / "toy", "train", 8)
    draw(tmp_path / "toy", "valid", 3)
    rng = np.random.default_rng(0)
    for file in sorted((tmp_path / "toy" / "images").iterdir()):
        scene = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(file), cv2.resize(scene, (64, 48)))
    config = CONFIG.replace("toy_", "bench_").replace("DATASETS:", f"DATASETS:\n  ROOT: {tmp_path}")
    (tmp_path / "toy.yaml").write_text(config)
    return tmp_path


@pytest.fixture
def other_vocabulary(root):
    """The training photos again, annotated in another vocabulary, and a config."""
    contents = json.loads((root / "toy" / "train.json").read_text())
    ontology = load_ontology("dsmlr")
    contents["info"]["ontology"] = "dsmlr"
    contents["categories"] = [{"id": p.id + 1, "name": p.name} for p in ontology.classes]
    for annotation in contents["annotations"]:
        annotation["category_id"] = ontology.class_id("wheel") + 1
    (root / "toy" / "other.json").write_text(json.dumps(contents))
    config = (root / "toy.yaml").read_text()
    config = config.replace("bench_train: toy/train", "bench_other: toy/other")
    config = config.replace('("bench_train",)', '("bench_other",)')
    config = config.replace('("bench_valid",)', "()")
    config = config.replace("SAV: {DECODER", "SAV: {ONTOLOGY: dsmlr, DECODER")
    (root / "other.yaml").write_text(config)
    return root / "other.yaml"


@pytest.fixture
def finish():
    """Leaves what a finished training on one data set leaves."""

    def _finish(folder, data_set, **figures):
        parts = {"mIoU": 50.0, "side_confusion": None, **figures}
        results = {
            data_set: {"segm": {"AP": 20.0, "AP50": 40.0}, "bbox": {"AP": 15.0}, "parts": parts}
        }
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps(results))

    return _finish
