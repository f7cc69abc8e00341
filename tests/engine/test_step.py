"""What a training step offers beside the plain one."""

import copy
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from sav import SAVPredictor
from sav.d2 import EventStorage
from sav.engine.hooks import BestResult
from sav.engine.run import run as run_processes
from sav.engine.run import setup
from sav.engine.trainer import Trainer
from sav.errors import SAVError

from .toy import arguments, draw, run

# Without norms over the batch, how it is shared out changes nothing but rounding.
NO_BATCH_NORM = [
    *("MODEL.TIMM.OPTIONS.norm_layer", "groupnorm1", "MODEL.SAV.CONTEXT.SHARE", "0.5"),
    *("SOLVER.MAX_ITER", "4"),
]


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.json").open()]
    return {k: v for line in lines for k, v in line.items() if "loss" in k}


def assert_same_training(first, second):
    assert losses(first) == pytest.approx(losses(second), rel=1e-4)
    ends = [load_file(folder / "model_final.safetensors") for folder in (first, second)]
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.fixture(scope="module")
def plain(root, tmp_path_factory):
    output = tmp_path_factory.mktemp("plain")
    run(root, output, *NO_BATCH_NORM)
    return output


@pytest.fixture(scope="module")
def shared(root, tmp_path_factory):
    output = tmp_path_factory.mktemp("shared")
    run_processes(arguments(root, output, *NO_BATCH_NORM, flags=["--num-gpus", "2"]))
    return output


def test_two_processes_train_like_one(plain, shared):
    """The same photos and augmentations in each step, one gallery, so the same weights."""
    assert_same_training(plain, shared)
    galleries = [
        torch.load(folder / "model_final.pth", weights_only=True)["gallery"]["photo_ids"]
        for folder in (plain, shared)
    ]
    assert galleries[0] == galleries[1]


def test_two_processes_give_the_same_weights_every_time(root, shared, tmp_path):
    options = [*NO_BATCH_NORM, "DATALOADER.NUM_WORKERS", "1"]
    run_processes(arguments(root, tmp_path, *options, flags=["--num-gpus", "2"]))
    ends = [load_file(folder / "model_final.safetensors") for folder in (shared, tmp_path)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    results = [(folder / "results.json").read_text() for folder in (shared, tmp_path)]
    assert results[0] == results[1]


def test_accumulation_trains_like_the_whole_batch(root, plain, tmp_path):
    run(root, tmp_path, *NO_BATCH_NORM, "SOLVER.ACCUMULATE", "2")
    assert_same_training(plain, tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["SOLVER.ACCUMULATE", "3"], "SOLVER.ACCUMULATE 3: the 4 photos"),
        (["SOLVER.AMP.PRECISION", "fp8"], "auto, bf16 or fp16, not fp8"),
        (["TEST.PRECISION", "bf61"], "TEST.PRECISION is auto, bf16, fp16 or fp32, not bf61"),
        (["TEST.EVAL_PERIOD", "1", "TEST.BEST.METRIC", "AP"], "TEST.BEST.METRIC AP: give it"),
        (["TEST.EVAL_PERIOD", "1", "TEST.BEST.MODE", "most"], "TEST.BEST.MODE"),
    ],
)
def test_impossible_settings_are_refused_before_training(root, tmp_path, options, words):
    with pytest.raises(SAVError, match=words):
        run(root, tmp_path, *options)
    assert not list(tmp_path.glob("model_*"))


def test_a_batch_that_does_not_divide_is_a_clear_error(root, tmp_path):
    flags = ["--num-gpus", "2"]
    with pytest.raises(SAVError, match=r"IMS_PER_BATCH 5: 2 processes.*multiple of 2"):
        run_processes(arguments(root, tmp_path, "SOLVER.IMS_PER_BATCH", "5", flags=flags))


def test_diverged_weights_name_the_loss(root, tmp_path):
    with pytest.raises(SAVError, match=r"0: loss_mask, .* weights have diverged") as error:
        run(root, tmp_path, "MODEL.SAV.LOSS.MASK", "inf")
    assert "\n" not in str(error.value)


def test_a_photo_that_breaks_a_loss_is_named(root, tmp_path):
    trainer = Trainer(setup(arguments(root, tmp_path, "SOLVER.CHECKPOINT_PERIOD", "1")))
    batch = copy.deepcopy(next(iter(trainer.data_loader)))
    good = copy.deepcopy(batch)
    batch[2]["image"] = batch[2]["image"].float()
    batch[2]["image"][0, 0, 0] = float("nan")
    trainer._trainer.data_loader = [good, batch]
    name = batch[2]["file_name"]
    with pytest.raises(SAVError, match=rf"iteration 1: loss_.* on {name}: look at") as error:
        trainer.train()
    assert str(error.value).count(".png") == 1
    last = torch.load(tmp_path / "model_0000000.pth", weights_only=True)
    assert all(value.isfinite().all() for value in last["model"].values())


def gradients(root, folder, *options):
    """What the optimizer saw in a first step, and the losses of that step."""
    trainer = Trainer(setup(arguments(root, folder, *NO_BATCH_NORM, *options)))
    # A usual scale overflows in the first steps, which then are skipped.
    fp16 = "fp16" in options
    trainer._trainer._scaler = torch.amp.GradScaler("cpu", init_scale=256.0, enabled=fp16)
    with EventStorage() as storage:
        trainer.run_step()
        seen = {name: value for name, (value, _) in storage.latest().items() if "loss" in name}
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters()]), seen


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_gives_nearly_the_same_losses_and_gradients(root, tmp_path, precision):
    options = ["SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.PRECISION", precision]
    mixed, mixed_losses = gradients(root, tmp_path / "mixed", *options)
    full, full_losses = gradients(root, tmp_path / "full")
    assert mixed_losses == pytest.approx(full_losses, rel=0.03, abs=0.01)
    assert mixed_losses != full_losses
    assert mixed.norm() == pytest.approx(1.0, rel=1e-3)
    assert torch.cosine_similarity(mixed, full, dim=0) > 0.97


@pytest.mark.parametrize("native", [True, False])
def test_automatic_precision_is_bf16_where_the_hardware_has_it(root, tmp_path, monkeypatch, native):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    automatic, _ = gradients(root, tmp_path / "automatic", "SOLVER.AMP.ENABLED", "True")
    options = ["SOLVER.AMP.ENABLED", str(native), "SOLVER.AMP.PRECISION", "bf16"]
    chosen, _ = gradients(root, tmp_path / "chosen", *options)
    assert torch.equal(automatic, chosen)


def test_the_best_evaluation_is_a_run_folder_of_its_own(root, tmp_path):
    options = ["TEST.EVAL_PERIOD", "2", "TEST.BEST.METRIC", "parts/mIoU_bg"]
    run(root, tmp_path, *options)
    best = json.loads((tmp_path / "best" / "results.json").read_text())["toy_valid"]
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").open()]
    seen = [x["toy_valid/parts/mIoU_bg"] for x in lines if "toy_valid/parts/mIoU_bg" in x]
    assert best["parts"]["mIoU_bg"] >= round(max(seen), 4)  # as results.json has it
    texts = [(tmp_path / folder / "config.yaml").read_text() for folder in (".", "best")]
    assert texts[0] == texts[1]  # in the form that both engines can read
    predictor = SAVPredictor.from_pretrained(tmp_path / "best")
    assert len(predictor.model.context.gallery) == 8
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"


@pytest.mark.parametrize(("mode", "expected"), [("max", [1, 1, 0, 0]), ("min", [1, 0, 0, 1])])
def test_the_best_result_is_known_and_survives_a_checkpoint(mode, expected):
    best = BestResult("b/parts/x", mode, 0, ("a", "b"))
    found = []
    for value in (2.0, 3.0, float("nan"), 1.0):
        found.append(best.improved({"a": {"parts": {"x": 9.0}}, "b": {"parts": {"x": value}}}))
        state = best.state_dict()
        best = BestResult("b/parts/x", mode, 0, ("a", "b"))
        best.load_state_dict(state)
    assert found == [bool(x) for x in expected]
    with pytest.raises(SAVError, match="b/parts/x"):
        best.improved({"b": {"segm": {"AP": 1.0}}})


def test_training_stops_when_nothing_gets_better(root, finished, tmp_path):
    # The weights do not move, so the second evaluation cannot be better than the first.
    options = [
        *("SOLVER.BASE_LR", "0.0", "SOLVER.WEIGHT_DECAY", "0.0", "SOLVER.MAX_ITER", "20"),
        *("SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR", "SOLVER.STEPS", "()"),
        *("TEST.EVAL_PERIOD", "2", "TEST.BEST.PATIENCE", "1"),
        *("MODEL.TIMM.OPTIONS.norm_layer", "groupnorm1", "MODEL.SAV.CONTEXT.ENABLED", "False"),
    ]
    run(root, tmp_path, *options)
    end = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert end["iteration"] == 3
    assert (tmp_path / "model_final.safetensors").is_file()
    assert (tmp_path / "results.json").is_file()
    # A model without context leaves no gallery, and ignores one that is there.
    assert not (tmp_path / "gallery").exists()
    shutil.copytree(finished / "gallery", tmp_path / "gallery")
    assert SAVPredictor.from_pretrained(tmp_path).model.context is None
    before = (tmp_path / "metrics.json").read_text().count("loss_mask")
    run(root, tmp_path, *options, flags=["--resume"])
    assert (tmp_path / "metrics.json").read_text().count("loss_mask") == before


def test_a_broken_photo_is_one_clear_error_from_a_worker_of_a_process(root, tmp_path):
    draw(tmp_path / "toy", "train", 4)
    draw(tmp_path / "toy", "valid", 1)
    (tmp_path / "toy" / "images" / "train2.png").write_bytes(b"not a picture")
    config = (root / "toy.yaml").read_text().replace("toy_", "torn_")
    (tmp_path / "toy.yaml").write_text(config)
    options = ["DATASETS.TEST", "()", "DATALOADER.NUM_WORKERS", "1"]
    with pytest.raises(SAVError, match=r"train2\.png"):
        run_processes(arguments(tmp_path, tmp_path / "run", *options, flags=["--num-gpus", "2"]))
