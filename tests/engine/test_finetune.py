"""``configs/photos/Finetune.yaml``: from a folder of annotated photos to predictions."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from sav import SAVPredictor
from sav.cli import dispatch
from sav.config import load_config
from sav.formats.images import read_rgb
from sav.gallery.files import load_gallery
from sav.run_folder import CONFIG_FILE, GALLERY_FOLDER, SHIPPED, WEIGHTS_FILE

ROOT = Path(__file__).parents[2]
CONFIG = "configs/photos/Finetune.yaml"


def test_it_has_canvas_encoder_and_graph_of_the_shipped_model(monkeypatch):
    monkeypatch.chdir(ROOT)
    recipe, shipped = load_config(CONFIG), load_config(SHIPPED / CONFIG_FILE)
    assert Path(recipe.MODEL.WEIGHTS).resolve() == (SHIPPED / WEIGHTS_FILE).resolve()
    assert recipe.INPUT.SAV.SIZE == shipped.INPUT.SAV.SIZE
    for key in ("PIXEL_MEAN", "PIXEL_STD", "TIMM"):
        assert recipe.MODEL[key] == shipped.MODEL[key]
    for key in ("ONTOLOGY", "GRAPH", "DECODER", "CONTEXT", "TEST"):
        assert recipe.MODEL.SAV[key] == shipped.MODEL.SAV[key]


def test_photos_of_a_view_make_a_model_of_ones_own(
    folder, tmp_path, monkeypatch, catalogs_as_before
):
    monkeypatch.chdir(ROOT)
    folder.root = tmp_path / "photos"
    for stem in ("one", "two"):
        folder.add(stem)
    dispatch(["prepare", "vehicleseg10k", "--root", str(folder.root), "--splits", "train"])
    output = tmp_path / "run"
    options = ["SOLVER.MAX_ITER", "2", "SOLVER.IMS_PER_BATCH", "2"]
    paths = ["DATASETS.ROOT", str(tmp_path), "OUTPUT_DIR", str(output)]
    dispatch(["train", "--config-file", CONFIG, *paths, *options])
    before, after = load_file(SHIPPED / WEIGHTS_FILE), load_file(output / WEIGHTS_FILE)
    assert before.keys() == after.keys()
    moved = {name: (after[name] - before[name].float()).abs().max().item() for name in after}
    assert 0 < max(moved.values()) < 1e-3
    assert len(load_gallery(output / GALLERY_FOLDER)) == 2
    predictor = SAVPredictor.from_pretrained(output, "cpu", "vehicleseg10k")
    parts = predictor(read_rgb(folder.root / "images" / "train" / "one.jpg"))
    assert parts.pred_masks.dtype == torch.bool
    assert "Left front door" in predictor.class_names
