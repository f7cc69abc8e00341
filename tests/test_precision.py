"""One precision policy for training, evaluation, galleries and predictions."""

import logging

import pytest
import torch
from torch import nn

from sav.d2 import build_model
from sav.errors import SAVError
from sav.modeling.meta_arch import SAV
from sav.precision import Precision, _log_once, float32
from sav.predict.predictor import SAVPredictor

from .engine.toy import CONFIG, draw, run

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
NETWORK = nn.Linear(1, 1)


@pytest.fixture
def on_gpu(monkeypatch):
    """A network that says it is on a GPU; torch's settings are put back."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    network = nn.Linear(1, 1)
    parameter = type("Parameter", (), {"device": torch.device("cuda")})()
    monkeypatch.setattr(network, "parameters", lambda: iter([parameter]))
    yield network
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def test_predictions_are_float32_unless_the_config_says_otherwise(cfg):
    assert Precision.for_test(cfg, NETWORK).dtype is torch.float32
    assert Precision.for_training(cfg, NETWORK).dtype is torch.float32
    for name, dtype in HALF.items():
        cfg.TEST.PRECISION = name
        assert Precision.for_test(cfg, NETWORK) == Precision("cpu", dtype)


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bf16_where_the_hardware_has_it(cfg, monkeypatch, native):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    cfg.TEST.PRECISION, cfg.SOLVER.AMP.ENABLED = "auto", True
    expected = torch.bfloat16 if native else torch.float32
    assert Precision.for_test(cfg, NETWORK).dtype is expected
    assert Precision.for_training(cfg, NETWORK).dtype is expected


def test_auto_is_float32_on_gpus_without_bf16(cfg, on_gpu):
    cfg.TEST.PRECISION = "auto"
    assert Precision.for_test(cfg, on_gpu) == Precision("cuda", torch.float32)


@pytest.mark.parametrize(("value", "tf32"), [("high", True), ("highest", False)])
def test_float32_is_tf32_on_gpus_where_the_config_says_so(cfg, on_gpu, value, tf32):
    cfg.FLOAT32_PRECISION = value
    Precision.for_test(cfg, NETWORK)  # on a CPU nothing changes
    assert torch.get_float32_matmul_precision() == "highest"
    Precision.for_test(cfg, on_gpu)
    assert torch.get_float32_matmul_precision() == value
    assert torch.backends.cudnn.allow_tf32 == tf32


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("SOLVER.AMP.PRECISION", "auto, bf16 or fp16"),
        ("TEST.PRECISION", "auto, bf16, fp16 or fp32"),
        ("FLOAT32_PRECISION", "highest, high, medium or empty"),
    ],
)
def test_an_unknown_value_is_one_clear_error(cfg, key, known):
    cfg.merge_from_list([key, "int4"])
    make = Precision.for_training if key.startswith("SOLVER") else Precision.for_test
    with pytest.raises(SAVError, match=f"^{key} is {known}, not int4$"):
        make(cfg, NETWORK)


def test_the_choice_is_logged_once(cfg, caplog):
    _log_once.cache_clear()
    cfg.TEST.PRECISION = "bf16"
    with caplog.at_level(logging.INFO, "sav.precision"):
        for _ in range(3):
            Precision.for_test(cfg, NETWORK)
    assert caplog.messages == [
        "Evaluation and prediction compute in bfloat16 (TEST.PRECISION bf16)"
    ]


@pytest.mark.parametrize("dtype", HALF.values())
def test_float32_holds_under_autocast(dtype):
    matrix = torch.randn(4, 4)
    with torch.autocast("cpu", dtype):
        assert (matrix @ matrix).dtype is dtype
        with float32():
            assert (matrix @ matrix).dtype is torch.float32
        assert float32()(torch.mm)(matrix, matrix).dtype is torch.float32
        with Precision("cpu", torch.float32).autocast():
            assert (matrix @ matrix).dtype is torch.float32
        assert (matrix @ matrix).dtype is dtype


def test_training_evaluation_gallery_and_prediction_follow_the_config(tmp_path, monkeypatch, photo):
    seen, encode = {}, SAV.encode

    def spy(model, batch):
        half = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
        seen.setdefault(kind(model, batch), set()).add(half)
        return encode(model, batch)

    def kind(model, batch):
        if model.training:
            return "training"
        return "gallery" if "instances" in batch[0] else "prediction"

    monkeypatch.setattr(SAV, "encode", spy)
    draw(tmp_path / "toy", "train", 4)
    draw(tmp_path / "toy", "valid", 1)
    (tmp_path / "toy.yaml").write_text(CONFIG.replace("toy_", "half_"))
    half = ["SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.PRECISION", "bf16", "TEST.PRECISION", "fp16"]
    run(tmp_path, tmp_path / "run", *half, "SOLVER.MAX_ITER", "1")
    test = {torch.float16}
    assert seen == {"training": {torch.bfloat16}, "gallery": test, "prediction": test}
    seen.clear()
    predictor = SAVPredictor.from_pretrained(tmp_path / "run", "cpu")
    assert predictor(photo()).scores.dtype is torch.float32
    assert len(predictor.nearest(photo(), 2)) == 2
    assert seen == {"prediction": test}


@pytest.mark.parametrize("name", HALF)
def test_predictions_in_half_precision_are_nearly_those_in_float32(run_folder, photo, name):
    predictor = SAVPredictor.from_pretrained(run_folder, "cpu")
    cfg = predictor.cfg.clone()
    cfg.defrost()
    cfg.TEST.PRECISION = name
    half = SAVPredictor(cfg, predictor.model)
    predictor.model.reader.score_threshold = 0.0
    ((full,), (other,)) = (p.predict_outputs([photo()]) for p in (predictor, half))
    assert not torch.equal(full["instances"].scores[:9], other["instances"].scores[:9])
    assert torch.allclose(full["instances"].scores[:9], other["instances"].scores[:9], atol=0.01)
    assert (full["part_map"] == other["part_map"]).float().mean() > 0.9


def test_float32_predictions_are_the_same_within_someone_s_autocast(predictor, photo):
    expected = predictor.predict_outputs([photo()])[0]
    with torch.autocast("cpu", torch.bfloat16):
        found = predictor.predict_outputs([photo()])[0]
    assert torch.equal(found["part_map"], expected["part_map"])
    assert torch.equal(found["instances"].scores, expected["instances"].scores)
    assert torch.equal(found["instances"].pred_masks, expected["instances"].pred_masks)


@pytest.mark.parametrize("dtype", HALF.values())
def test_masks_scores_evidence_and_losses_are_float32(cfg, make_input, dtype):
    """In two views, one of which joins parts."""
    cfg.MODEL.SAV.ONTOLOGY = "vehicle"
    model = build_model(cfg)
    views = "vehicle", "vehicleseg10k"
    batch = [{**make_input(f"car/{i}", seed=i), "vocabulary": v} for i, v in enumerate(views)]
    model(batch)  # leaves exemplars
    evidence = []
    model.context.evidence.register_forward_hook(lambda *call: evidence.append(call[-1]))
    with torch.autocast("cpu", dtype):
        losses = model(batch)
        photos = model.encode(batch)
        output = model.decode(photos, model.prompts(photos))
        keys = model.retrieval_keys(batch)
        exemplars = model.exemplars(batch).exemplars
        found = model.eval()(batch)
    assert output.features.dtype is dtype
    assert {x.dtype for x in (output.masks, output.presence, output.iou)} == {torch.float32}
    assert {v.dtype for e in evidence for v in vars(e).values()} == {torch.float32, torch.bool}
    assert keys.keys.dtype is exemplars.prototypes.dtype is torch.float32
    assert all(loss.dtype is torch.float32 and loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    for item in found:
        assert item["instances"].scores.dtype is torch.float32
        assert item["instances"].scores.isfinite().all()
