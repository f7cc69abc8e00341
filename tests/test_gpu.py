"""The whole model on a GPU as it is meant to run there, and the same tests in tiny on the CPU.

SAM ViT-B with random weights and LoRA, at 1024 pixels in bf16. On the CPU a toy SAM takes its
place, at 64 pixels.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from segment_anything import sam_model_registry
from torch import distributed as dist

from sav.config import load_config
from sav.d2 import EventStorage, comm, launch
from sav.engine.run import main, setup
from sav.engine.trainer import Trainer
from sav.formats.images import read_rgb
from sav.predict.predictor import SAVPredictor

from .engine.toy import CONFIG, arguments, draw, run
from .modeling.toy_sam import TOY, build_toy_sam

PHOTOS = 4
BF16 = ("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.PRECISION", "bf16", "TEST.PRECISION", "bf16")
FLOAT32 = ("SOLVER.AMP.ENABLED", "False", "TEST.PRECISION", "fp32")


@dataclass(frozen=True)
class Place:
    """Where and how large."""

    device: str
    network: str
    size: int

    @property
    def options(self) -> tuple[str, ...]:
        return (
            *("MODEL.DEVICE", self.device, "INPUT.SAV.SIZE", str(self.size)),
            *("MODEL.BACKBONE.NAME", "SAMEncoder", "MODEL.SAM.TYPE", self.network),
            *("MODEL.SAM.TUNING", "lora", "MODEL.SAV.LOSS.POINTS", "1024"),
            *("SOLVER.IMS_PER_BATCH", "2", "SOLVER.MAX_ITER", "2", "MODEL.SAV.TEST.BATCH", "2"),
        )


CPU = Place("cpu", TOY, 64)
GPU = Place("cuda", "vit_b", 1024)


def needs_gpus(count):
    there = torch.cuda.device_count()
    reason = f"needs {count} of NVIDIA's GPUs, and {there} can be used here"
    return [pytest.mark.gpu, pytest.mark.skipif(there < count, reason=reason)]


# Processes without GPUs, where two GPUs or none can be seen.
TWO_CPUS = pytest.mark.skipif(torch.cuda.device_count() == 1, reason="two processes, one GPU")
PLACES = [pytest.param(CPU, id="cpu"), pytest.param(GPU, id="gpu", marks=needs_gpus(1))]


@pytest.fixture(scope="module", params=PLACES)
def place(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sam_model_registry, TOY, build_toy_sam)
        yield request.param


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("gpu")
    draw(root / "toy", "train", PHOTOS)
    draw(root / "toy", "valid", 2)
    (root / "toy.yaml").write_text(CONFIG.replace("toy_", "gpu_"))
    return root


@pytest.fixture(scope="module")
def trained(place, data, tmp_path_factory):
    """The run folder of two steps in bf16."""
    folder = tmp_path_factory.mktemp("run")
    run(data, folder, *place.options, *BF16)
    return folder


@pytest.fixture(scope="module")
def predictors(place, trained):
    """One in bf16 and one in float32, of the same weights and gallery."""
    half = SAVPredictor.from_pretrained(trained, place.device)
    cfg = half.cfg.clone()
    cfg.defrost()
    cfg.merge_from_list(FLOAT32)
    return half, SAVPredictor(cfg, half.model)


def first_step(data, folder, place, *options):
    """Losses and gradients of the first step."""
    trainer = Trainer(setup(arguments(data, folder, *place.options, *options)))
    with EventStorage() as storage:
        trainer.run_step()
        losses = {name: value for name, (value, _) in storage.latest().items() if "loss" in name}
    gradients = [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
    return losses, torch.cat(gradients).float().cpu()


def test_a_step_in_bf16_is_nearly_one_in_float32(place, data, tmp_path):
    half_losses, half = first_step(data, tmp_path / "half", place, *BF16)
    full_losses, full = first_step(data, tmp_path / "full", place, *FLOAT32)
    assert half_losses == pytest.approx(full_losses, rel=0.05, abs=0.02)
    assert half.isfinite().all()
    assert torch.cosine_similarity(half, full, dim=0) > 0.9


def test_training_learns_and_stays_finite(trained):
    weights = load_file(trained / "model_final.safetensors")
    assert all(value.isfinite().all() for value in weights.values())
    assert any("lora_B" in name and value.any() for name, value in weights.items())


def test_evaluation_writes_results(trained):
    results = json.loads((trained / "results.json").read_text("utf-8"))["gpu_valid"]
    assert 0 <= results["parts"]["mIoU"] <= 100
    assert 0 <= results["segm"]["AP"] <= 100
    assert (trained / "predictions.png").is_file()


def test_the_gallery_has_every_photo(place, trained, predictors, data):
    half, _ = predictors
    gallery = half.model.context.gallery
    assert len(gallery) == PHOTOS
    exemplars = gallery.exemplars
    assert exemplars.keys.dtype is torch.float32
    assert torch.allclose(exemplars.keys.norm(dim=1), torch.ones(PHOTOS), atol=1e-4)
    assert exemplars.prototypes.isfinite().all()
    photo = read_rgb(data / "toy" / "images" / "train1.png")
    assert next(half.model.parameters()).device.type == place.device
    (nearest,) = half.nearest(photo, 1)
    assert nearest.similarity > 0.98


def test_predictions_in_bf16_are_nearly_those_in_float32(predictors, data):
    photo = read_rgb(data / "toy" / "images" / "valid1.png")
    (half,), (full,) = (predictor.predict_outputs([photo]) for predictor in predictors)
    assert half["part_map"].shape == photo.shape[:2]
    assert half["instances"].scores.dtype is torch.float32
    assert half["instances"].scores.isfinite().all()
    assert (half["part_map"] == full["part_map"]).float().mean() > 0.9
    outputs = []
    for predictor in predictors:
        batch = [predictor._to_input(photo)]
        with torch.no_grad(), predictor._precision.autocast():
            photos = predictor.model.encode(batch)
            outputs.append(predictor.model.decode(photos, predictor.model.prompts(photos)))
    first, second = outputs
    assert first.masks.dtype is first.presence.dtype is torch.float32
    assert not torch.equal(first.masks, second.masks)
    assert torch.allclose(first.presence.sigmoid(), second.presence.sigmoid(), atol=0.03)
    assert torch.allclose(first.masks.sigmoid(), second.masks.sigmoid(), atol=0.2)


def exchange_and_train(arguments: argparse.Namespace, device: str) -> None:
    """In each process: exchange tensors on its device, and objects; then train."""
    place = torch.device(device, comm.get_local_rank()) if device == "cuda" else device
    value = torch.full((3,), float(comm.get_rank() + 1), device=place)
    dist.all_reduce(value)
    assert value.tolist() == [3.0, 3.0, 3.0]
    assert comm.all_gather(comm.get_rank()) == [0, 1]
    backend = dist.distributed_c10d._get_default_group()._get_backend(torch.device(device))
    assert backend.name() == ("nccl" if device == "cuda" else "gloo")
    main(arguments)


@pytest.mark.parametrize(
    ("device", "network"),
    [
        # A new process knows no toy SAM.
        pytest.param("cpu", (), id="gloo", marks=TWO_CPUS),
        pytest.param("cuda", GPU.options, id="nccl", marks=needs_gpus(2)),
    ],
)
def test_two_processes_train_in_bf16(data, tmp_path, device, network):
    more = ("MODEL.DEVICE", device, "SOLVER.MAX_ITER", "2", *BF16)
    given = arguments(data, tmp_path, *network, *more)
    launch(exchange_and_train, 2, dist_url="auto", args=(given, device))
    weights = load_file(tmp_path / "model_final.safetensors")
    assert all(value.isfinite().all() for value in weights.values())
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert 0 <= results["gpu_valid"]["parts"]["mIoU"] <= 100
    assert len(SAVPredictor.from_pretrained(tmp_path, device).model.context.gallery) == PHOTOS


@pytest.mark.parametrize("name", ["SAV-ViT-B", "SAV-ViT-B-LoRA", "SAV-ViT-L", "SAV-ViT-H"])
def test_sam_configs_ask_for_bf16_and_tf32(name):
    cfg = load_config(Path(__file__).parents[1] / "configs" / "vehicleseg10k" / f"{name}.yaml")
    assert (cfg.SOLVER.AMP.ENABLED, cfg.SOLVER.AMP.PRECISION) == (True, "auto")
    assert (cfg.TEST.PRECISION, cfg.FLOAT32_PRECISION) == ("auto", "high")
