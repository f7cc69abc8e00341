"""Short real trainings on a few drawn photos."""

import json

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as rle
from safetensors.torch import load_file

from sav.config import load_config
from sav.d2 import default_argument_parser
from sav.engine.optimizer import build_adamw
from sav.engine.run import main
from sav.engine.run import run as run_processes
from sav.engine.trainer import Trainer
from sav.errors import SAVError
from sav.modeling.weights import load_weights
from sav.ontology import load_ontology
from sav.retrieval import Gallery

CONFIG = """
INPUT: {SAV: {SIZE: 64}}
DATASETS:
  PARTS: {toy_train: toy/train.json, toy_valid: toy/valid.json}
  TRAIN: ("toy_train",)
  TEST: ("toy_valid",)
MODEL:
  DEVICE: cpu
  TIMM: {OPTIONS: {channels: [8, 8, 16, 16]}}
  SAV: {DECODER: {MLP_DIM: 32}, LOSS: {POINTS: 64}}
DATALOADER: {NUM_WORKERS: 0, ASPECT_RATIO_GROUPING: False}
SOLVER:
  IMS_PER_BATCH: 4
  BASE_LR: 0.001
  MAX_ITER: 6
  CHECKPOINT_PERIOD: 3
  WARMUP_ITERS: 2
  LR_SCHEDULER_NAME: WarmupCosineLR
  CLIP_GRADIENTS: {ENABLED: True, CLIP_TYPE: full_model, CLIP_VALUE: 1.0}
SEED: 3
"""


def draw(folder, split, count):
    """Photos of a box with a wheel, as a COCO part file."""
    ontology = load_ontology("vehicleseg10k")
    rng = np.random.default_rng(len(split))
    images, annotations = [], []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for index in range(1, count + 1):
        photo = np.full((48, 64, 3), 90, np.uint8)
        x = int(rng.integers(2, 20))
        masks = {"Foreground": np.zeros((48, 64), np.uint8), "Wheel": np.zeros((48, 64), np.uint8)}
        cv2.rectangle(masks["Foreground"], (x, 12), (x + 36, 32), 1, -1)
        cv2.circle(masks["Wheel"], (x + 10, 34), 6, 1, -1)
        masks["Foreground"][masks["Wheel"] > 0] = 0
        photo[masks["Foreground"] > 0] = (200, 60, 40)
        photo[masks["Wheel"] > 0] = (20, 20, 20)
        name = f"{split}{index}.png"
        cv2.imwrite(str(folder / "images" / name), photo)
        images.append({"id": index, "file_name": name, "width": 64, "height": 48})
        for part, mask in masks.items():
            code = rle.encode(np.asfortranarray(mask))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": ontology.class_id(part) + 1,
                    "bbox": rle.toBbox(code).tolist(),
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                    "segmentation": {"size": [48, 64], "counts": code["counts"].decode()},
                    "vehicle_id": 0,
                }
            )
    names = ontology.class_names
    contents = {
        "info": {"ontology": "vehicleseg10k", "image_root": "images"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
    }
    (folder / f"{split}.json").write_text(json.dumps(contents))


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    draw(root / "toy", "train", 8)
    draw(root / "toy", "valid", 3)
    (root / "toy.yaml").write_text(CONFIG)
    return root


def arguments(root, output, *options, flags=()):
    return default_argument_parser().parse_args(
        [
            "--config-file",
            str(root / "toy.yaml"),
            *flags,
            "OUTPUT_DIR",
            str(output),
            "DATASETS.ROOT",
            str(root),
            *options,
        ]
    )


def run(root, output, *options, flags=()):
    return main(arguments(root, output, *options, flags=flags))


@pytest.fixture(scope="session")
def finished(root, tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    run(root, output)
    return output


def test_a_run_leaves_what_the_contract_says(finished):
    names = {path.name for path in finished.iterdir()}
    assert {
        "config.yaml",
        "log.txt",
        "metrics.json",
        "last_checkpoint",
        "model_0000002.pth",
        "model_final.safetensors",
        "gallery",
        "results.json",
        "predictions.png",
    } <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    results = json.loads((finished / "results.json").read_text())["toy_valid"]
    assert list(results) == ["bbox", "segm", "parts"]
    assert {"AP", "AP50", "AP75", "APs", "APm", "APl", "AP-Wheel"} <= results["segm"].keys()
    assert {"mIoU", "mAcc", "mIoU_bg", "IoU-Wheel", "side_confusion"} <= results["parts"].keys()
    assert "Engine: " in (finished / "log.txt").read_text().splitlines()[0]


def test_evaluating_again_gives_the_same_figures(root, finished, tmp_path):
    weights = str(finished / "model_final.safetensors")
    run(root, tmp_path, "MODEL.WEIGHTS", weights, flags=["--eval-only"])
    first = json.loads((finished / "results.json").read_text())
    assert json.loads((tmp_path / "results.json").read_text()) == first


def test_two_processes_evaluate_like_one(root, finished, tmp_path):
    weights = str(finished / "model_final.safetensors")
    flags = ["--eval-only", "--num-gpus", "2"]
    run_processes(arguments(root, tmp_path, "MODEL.WEIGHTS", weights, flags=flags))
    first = json.loads((finished / "results.json").read_text())
    assert json.loads((tmp_path / "results.json").read_text()) == first


def test_two_processes_train(root, tmp_path):
    run_processes(arguments(root, tmp_path, flags=["--num-gpus", "2"]))
    assert len(Gallery.load(tmp_path / "gallery")) == 8
    assert (tmp_path / "model_final.safetensors").is_file()


def test_no_process_is_a_clear_error(root, tmp_path):
    with pytest.raises(SAVError, match="--num-gpus"):
        run_processes(arguments(root, tmp_path, flags=["--num-gpus", "0"]))


def test_the_final_gallery_has_every_training_photo_and_fits_the_model(root, finished):
    gallery = Gallery.load(finished / "gallery")
    assert sorted(gallery.keys) == [f"toy_train/{i}" for i in range(1, 9)]
    model = Trainer.build_model(load_config(root / "toy.yaml"))
    load_weights(model, finished / "model_final.safetensors")
    gallery.check_fingerprint(model.gallery_fingerprint(), "gallery")
    body = load_ontology("vehicleseg10k").class_id("Foreground")
    assert gallery.entries.present[:, body].all()


def test_a_loss_that_is_not_finite_is_a_clear_error(root, tmp_path):
    with pytest.raises(SAVError, match="loss_mask"):
        run(root, tmp_path, "MODEL.SAV.LOSS.MASK", "inf")


def test_one_seed_gives_one_result(root, finished, tmp_path):
    run(root, tmp_path)
    first = load_file(finished / "model_final.safetensors")
    again = load_file(tmp_path / "model_final.safetensors")
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_resume_continues_with_optimizer_average_and_gallery(root, tmp_path):
    run(root, tmp_path, "SOLVER.MAX_ITER", "3")
    first = torch.load(tmp_path / "model_0000002.pth", weights_only=True)
    run(root, tmp_path, flags=["--resume"])
    last = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert first["iteration"] == 2
    assert last["iteration"] == 5
    assert set(first["gallery"]["keys"]) <= set(last["gallery"]["keys"])
    assert len(last["gallery"]["keys"]) == 8
    steps = {int(s["step"]) for s in last["trainer"]["_trainer"]["optimizer"]["state"].values()}
    assert steps == {6}
    iterations = [json.loads(x)["iteration"] for x in (tmp_path / "metrics.json").open()]
    assert iterations == sorted(iterations)
    assert iterations[-1] >= 5


def test_average_follows_the_weights(root, finished):
    checkpoint = torch.load(finished / "model_final.pth", weights_only=True)
    final = load_file(finished / "model_final.safetensors")
    name = "decoder.shortcut.weight"
    assert torch.equal(final[name], checkpoint["trainer"]["hooks"]["EMAHook"][name])
    assert not torch.equal(final[name], checkpoint["model"][name])


def test_weights_of_another_vocabulary_give_all_that_is_not_about_it(root, finished):
    cfg = load_config(root / "toy.yaml", ["MODEL.SAV.ONTOLOGY", "dsmlr"])
    model = Trainer.build_model(cfg)
    fresh = model.graph.free.detach().clone()
    with pytest.raises(SAVError, match="another shape"):
        load_weights(model, finished / "model_final.safetensors")
    load_weights(model, finished / "model_final.safetensors", adapt=True)
    final = load_file(finished / "model_final.safetensors")
    state = model.state_dict()
    assert torch.equal(state["graph.free"], fresh)
    carried = [n for n in final if not n.startswith(("graph.free", "layout.", "dense."))]
    assert len(carried) > 50
    assert all(torch.equal(state[name], final[name]) for name in carried)


def test_weights_that_do_not_fit_are_named(root, finished, tmp_path):
    cfg = load_config(root / "toy.yaml", ["MODEL.SAV.CONTEXT.ENABLED", "False"])
    model = Trainer.build_model(cfg)
    with pytest.raises(SAVError, match="weights unknown for this config: context"):
        load_weights(model, finished / "model_final.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    with pytest.raises(SAVError, match="not a weights file"):
        load_weights(model, tmp_path / "broken.safetensors")
    with pytest.raises(SAVError, match="no such weights file"):
        load_weights(model, tmp_path / "none.safetensors")


def test_encoder_rate_and_full_model_clipping(root):
    cfg = load_config(root / "toy.yaml", ["SOLVER.BACKBONE_MULTIPLIER", "0.1"])
    model = Trainer.build_model(cfg)
    optimizer = build_adamw(cfg, model)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    assert rates[id(next(model.encoder.body.parameters()))] == pytest.approx(1e-4)
    assert rates[id(model.slot_embedding.weight)] == pytest.approx(1e-3)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 5.0)
    optimizer.step()
    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    assert norm == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["SOLVER.NO_SUCH_KEY", "1"], "NO_SUCH_KEY"),
        (["DATASETS.TRAIN", "('nowhere_train',)"], "nowhere_train"),
        (["MODEL.WEIGHTS", "nowhere.pth"], "nowhere.pth"),
        (["MODEL.SAV.ONTOLOGY", "dsmlr"], "ontology"),
        (["MODEL.DEVICE", "cuda"], "MODEL.DEVICE cpu"),
    ],
)
def test_mistakes_are_one_clear_error(root, tmp_path, options, words):
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SAVError, match=words):
        run(root, tmp_path, *options)


def test_a_broken_photo_is_one_clear_error(root, tmp_path):
    draw(tmp_path / "toy", "train", 4)
    draw(tmp_path / "toy", "valid", 1)
    (tmp_path / "toy" / "images" / "train2.png").write_bytes(b"not a picture")
    options = ["DATASETS.TRAIN", "('broken_train',)", "DATASETS.TEST", "()"]
    config = tmp_path / "toy.yaml"
    config.write_text(CONFIG.replace("toy_", "broken_"))
    with pytest.raises(SAVError, match=r"train2\.png"):
        run(tmp_path, tmp_path / "run", *options)


def test_missing_config_is_a_clear_error():
    with pytest.raises(SAVError, match="no such config file"):
        load_config("configs/none.yaml")
