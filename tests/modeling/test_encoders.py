import numpy as np
import pytest
import torch

from sav.d2 import build_backbone, build_model
from sav.engine.optimizer import build_adamw
from sav.errors import SAVError
from sav.gallery.store import Gallery
from sav.modeling.weights import save_weights
from sav.predict.predictor import SAVPredictor

from .toy_sam import DEPTH, set_up


@pytest.mark.parametrize(("stride", "skips"), [(16, {"skip8", "skip4"}), (8, {"skip4"})])
def test_light_encoders_give_what_they_say(cfg, stride, skips):
    cfg.MODEL.TIMM.STRIDE = stride
    encoder = build_backbone(cfg)
    shapes = encoder.output_shape()
    assert set(shapes) == {"embedding", *skips}
    assert shapes["embedding"].channels == 256
    assert shapes["embedding"].stride == stride
    for name, value in encoder(torch.randn(2, 3, 64, 64)).items():
        side = 64 // shapes[name].stride
        assert value.shape == (2, shapes[name].channels, side, side)


def test_a_network_without_maps_at_stride_2_works(cfg):
    cfg.MODEL.TIMM.NAME, cfg.MODEL.TIMM.STRIDE = "convnext_atto", 8
    del cfg.MODEL.TIMM.OPTIONS["channels"]
    cfg.MODEL.TIMM.OPTIONS.dims = (8, 8, 16, 16)
    encoder = build_backbone(cfg)
    assert set(encoder(torch.randn(1, 3, 64, 64))) == {"embedding", "skip4"}


def test_other_strides_are_a_clear_error(cfg):
    cfg.MODEL.TIMM.STRIDE = 32
    with pytest.raises(SAVError, match="STRIDE: 32"):
        build_backbone(cfg)


def test_a_model_at_stride_8_trains_and_predicts_with_its_gallery(cfg, make_input, tmp_path):
    cfg.MODEL.TIMM.STRIDE = 8
    model = build_model(cfg)
    torch.nn.init.normal_(model.context.corrector.scores.weight)
    batch = [make_input(f"car/{i}", seed=i) for i in range(3)]
    for _ in range(2):
        losses = model(batch)
    sum(losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    save_weights(model, tmp_path / "model_final.safetensors")
    (tmp_path / "config.yaml").write_text(cfg.dump())
    predictor = SAVPredictor.from_pretrained(tmp_path, "cpu")
    predictor.model.reader.score_threshold = 0.0
    predictor.model.context.gallery = model.context.gallery
    assert len(predictor.model.context.gallery) == 3
    photo = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    found = predictor(photo)
    assert found.pred_masks.shape[1:] == (50, 70)
    predictor.model.context.gallery = Gallery({})
    assert not torch.equal(predictor(photo).scores, found.scores)


def rates(cfg, model):
    groups = build_adamw(cfg, model).param_groups
    by_parameter = {p: group["lr"] for group in groups for p in group["params"]}
    return {name: by_parameter.get(p) for name, p in model.named_parameters()}


def test_the_rates_of_sams_blocks_fall_downwards(official, cfg):
    set_up(cfg, official[1], 64, "full")
    cfg.SOLVER.BASE_LR, cfg.SOLVER.LAYER_DECAY = 1.0, 0.5
    cfg.SOLVER.LR_MULTIPLIERS = (("encoder.", 0.1),)
    found = rates(cfg, build_model(cfg))
    assert found["encoder.body.neck.0.weight"] == pytest.approx(0.1)
    for block in range(DEPTH):
        expected = 0.1 * 0.5 ** (DEPTH - block)
        assert found[f"encoder.body.blocks.{block}.attn.qkv.weight"] == pytest.approx(expected)
        assert found[f"encoder.body.blocks.{block}.norm1.weight"] == pytest.approx(expected)
    lowest = 0.1 * 0.5 ** (DEPTH + 1)
    assert found["encoder.body.pos_embed"] == pytest.approx(lowest)
    assert found["encoder.body.patch_embed.proj.bias"] == pytest.approx(lowest)
    assert {rate for name, rate in found.items() if not name.startswith("encoder.")} == {1.0}


def test_lora_decays_its_own_weights(official, cfg):
    set_up(cfg, official[1], 64, "lora")
    cfg.SOLVER.BASE_LR, cfg.SOLVER.LAYER_DECAY = 1.0, 0.5
    found = rates(cfg, build_model(cfg))
    assert found["encoder.body.blocks.0.attn.qkv.lora_A.default.weight"] == 0.25
    assert found["encoder.body.blocks.1.attn.proj.lora_B.default.weight"] == 0.5
    assert found["encoder.body.blocks.1.attn.qkv.base_layer.weight"] is None


def test_the_rates_of_a_timm_network_fall_downwards(cfg):
    cfg.SOLVER.BASE_LR, cfg.SOLVER.LAYER_DECAY = 1.0, 0.5
    found = rates(cfg, build_model(cfg))
    ways_up = ("conv1.0", "layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1", "layer4.0.conv1")
    body = [found[f"encoder.body.{name}.weight"] for name in ways_up]
    assert body == [0.5**5, 0.5**4, 0.5**3, 0.5**2, 0.5]
    assert found["encoder.neck.1.weight"] == found["encoder.lateral.16.weight"] == 1.0


@pytest.mark.parametrize(
    "name", ["convnext_atto", "mobilenetv4_conv_small", "repvit_m0_9", "mobilenetv3_small_050"]
)
def test_layers_are_known_for_the_usual_light_networks(cfg, name):
    cfg.MODEL.TIMM.NAME = name
    del cfg.MODEL.TIMM.OPTIONS["channels"]
    encoder = build_backbone(cfg)
    above = encoder.layers_above()
    assert above.keys() == {n for n, _ in encoder.named_parameters() if n.startswith("body.")}
    in_order = list(above.values())
    assert in_order[0] == max(in_order) > in_order[-1] >= 1


def test_layers_and_stages_of_a_network_that_ends_early_are_known(cfg):
    cfg.MODEL.TIMM.OPTIONS.out_indices = (0, 1, 2, 3)  # no map at stride 32
    cfg.MODEL.TIMM.FREEZE_AT = 3
    encoder = build_backbone(cfg)
    assert min(encoder.layers_above().values()) == 2
    trained = {name.split(".")[0] for name, p in encoder.body.named_parameters() if p.requires_grad}
    assert trained == {"layer3"}
    cfg.MODEL.TIMM.FREEZE_AT = 5
    with pytest.raises(SAVError, match="FREEZE_AT: 5 is not one of 0 to 4"):
        build_backbone(cfg)


def test_layer_decay_of_nothing_is_a_clear_error(official, cfg):
    cfg.SOLVER.LAYER_DECAY = 0.8
    set_up(cfg, official[1], 64)
    with pytest.raises(SAVError, match="frozen"):
        build_adamw(cfg, build_model(cfg))
    cfg.SOLVER.LAYER_DECAY = 1.5
    with pytest.raises(SAVError, match=r"LAYER_DECAY: 1\.5"):
        build_adamw(cfg, build_model(cfg))
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.TIMM.NAME = "TimmEncoder", "poolformer_s12"
    del cfg.MODEL.TIMM.OPTIONS["channels"]
    with pytest.raises(SAVError, match="does not group the layers of poolformer_s12"):
        build_backbone(cfg).layers_above()
