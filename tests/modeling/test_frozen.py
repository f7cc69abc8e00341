"""What of a light encoder stays as it is in training: lower stages, running statistics."""

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from sav.d2 import build_backbone, build_model
from sav.engine.optimizer import build_adamw
from sav.errors import SAVError


def trained_stages(encoder):
    """The first parts of the names of what learns in the body."""
    named = encoder.body.named_parameters()
    return {name.split(".")[0] for name, p in named if p.requires_grad}


def take_steps(cfg, model, batch):
    """Two, because timm starts the last scale of a residual block at zero."""
    cfg.SOLVER.BASE_LR, cfg.SOLVER.WEIGHT_DECAY = 0.1, 0.5
    optimizer = build_adamw(cfg, model)
    for _ in range(2):
        optimizer.zero_grad()
        sum(model(batch).values()).backward()
        optimizer.step()


def test_frozen_stages_stay_as_they_are_and_the_others_learn(cfg, make_input):
    cfg.MODEL.TIMM.FREEZE_AT = 2  # the stem and layer1
    model = build_model(cfg).train()
    body = model.encoder.body
    before = {name: value.clone() for name, value in body.state_dict().items()}
    take_steps(cfg, model, [make_input(f"car/{i}", seed=i) for i in range(2)])
    changed = {n for n, v in body.state_dict().items() if not torch.equal(v, before[n])}
    frozen = {name for name in before if name.startswith(("conv1.", "bn1.", "layer1."))}
    assert frozen and changed == before.keys() - frozen
    for name, parameter in body.named_parameters():
        assert (parameter.grad is None) == (name in frozen), name
    # Norms of frozen stages predict, whatever the rest does.
    modes = {name: m.training for name, m in body.named_modules() if isinstance(m, _BatchNorm)}
    assert {n for n, training in modes.items() if not training} == {
        name for name in modes if name.startswith(("conv1.", "bn1", "layer1."))
    }


@pytest.mark.parametrize("stages", range(6))
def test_the_stem_is_the_first_stage(cfg, stages):
    cfg.MODEL.TIMM.FREEZE_AT = stages
    order = ["conv1", "layer1", "layer2", "layer3", "layer4"]
    assert trained_stages(build_backbone(cfg)) - {"bn1"} == set(order[stages:])


@pytest.mark.parametrize(
    ("name", "stages", "trained"),
    [
        ("convnext_atto", 2, {"stages_1", "stages_2", "stages_3"}),
        ("tf_efficientnet_lite0", 1, {"blocks"}),
        ("tf_efficientnet_lite0", 8, set()),
    ],
)
def test_other_networks_have_their_stages_too(cfg, name, stages, trained):
    cfg.MODEL.TIMM.NAME, cfg.MODEL.TIMM.FREEZE_AT = name, stages
    cfg.MODEL.TIMM.OPTIONS.clear()
    assert trained_stages(build_backbone(cfg)) == trained


@pytest.mark.parametrize("stages", [-1, 6])
def test_stages_that_a_network_does_not_have_are_a_clear_error(cfg, stages):
    cfg.MODEL.TIMM.FREEZE_AT = stages
    with pytest.raises(SAVError, match=rf"FREEZE_AT: {stages} is not one of 0 to 5"):
        build_backbone(cfg)


def test_layers_above_frozen_ones_have_the_rates_of_their_depth(cfg):
    cfg.SOLVER.BASE_LR, cfg.SOLVER.LAYER_DECAY = 1.0, 0.5
    cfg.MODEL.TIMM.FREEZE_AT = 4
    model = build_model(cfg)
    rates = {
        p: group["lr"] for group in build_adamw(cfg, model).param_groups for p in group["params"]
    }
    named = dict(model.encoder.body.named_parameters())
    assert named["layer3.0.conv1.weight"] not in rates
    assert rates[named["layer4.0.conv1.weight"]] == 0.5


@pytest.mark.parametrize("fixed", [False, True])
def test_fixed_statistics_do_not_move_and_scales_still_learn(cfg, make_input, fixed):
    cfg.MODEL.TIMM.NORM_EVAL = fixed
    model = build_model(cfg).train()
    before = {name: value.clone() for name, value in model.encoder.body.state_dict().items()}
    take_steps(cfg, model, [make_input(f"car/{i}", seed=i) for i in range(2)])
    after = model.encoder.body.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    statistics = {n for n in before if n.endswith(("running_mean", "running_var", "tracked"))}
    assert statistics & changed == (set() if fixed else statistics)
    assert "layer1.0.bn1.weight" in changed


def test_with_fixed_statistics_a_photo_is_encoded_as_in_prediction(cfg):
    cfg.MODEL.TIMM.NORM_EVAL = True
    encoder = build_backbone(cfg)
    photos = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        trained = encoder.train()(photos)["embedding"]
        assert torch.equal(trained, encoder.eval()(photos)["embedding"])
    assert encoder.train().neck.training
