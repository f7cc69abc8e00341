import pytest
import torch
from torch import nn

from sav.d2 import (
    build_lr_scheduler,
    get_cfg,
    get_default_optimizer_params,
    maybe_add_gradient_clipping,
)


def model():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.LayerNorm(3), nn.Linear(3, 1))
    net[3].bias.requires_grad = False
    return net


def grouped(net, **settings):
    """Number of parameters of each (rate, decay)."""
    defaults = {"base_lr": 0.1, "weight_decay": 0.01, "weight_decay_norm": 0.0}
    defaults |= {"bias_lr_factor": 1.0, "weight_decay_bias": None}
    groups = get_default_optimizer_params(net, **{**defaults, **settings})
    found = {(g["lr"], g["weight_decay"]): len(g["params"]) for g in groups}
    assert len(found) == len(groups)
    return found


def test_parameters_are_grouped_by_their_settings():
    assert grouped(model()) == {(0.1, 0.01): 3, (0.1, 0.0): 4}
    assert grouped(model(), bias_lr_factor=2.0) == {
        (0.1, 0.01): 2,
        (0.2, 0.01): 1,
        (0.1, 0.0): 2,
        (0.2, 0.0): 2,
    }
    assert grouped(model(), weight_decay_bias=0.5) == {(0.1, 0.01): 2, (0.1, 0.0): 2, (0.1, 0.5): 3}


def test_shared_parameters_appear_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert grouped(net) == {(0.1, 0.01): 3}


def rates(**solver):
    cfg = get_cfg()
    for key, value in {"BASE_LR": 1.0, "MAX_ITER": 10, "WARMUP_ITERS": 0, **solver}.items():
        setattr(cfg.SOLVER, key, value)
    optimizer = torch.optim.SGD(model().parameters(), lr=cfg.SOLVER.BASE_LR)
    scheduler = build_lr_scheduler(cfg, optimizer)
    found = []
    for _ in range(10):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_multi_step_schedule():
    steps = rates(STEPS=(4, 8), GAMMA=0.1, WARMUP_ITERS=2, WARMUP_FACTOR=0.2)
    assert steps == pytest.approx([0.2, 0.6, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_schedule():
    cosine = rates(LR_SCHEDULER_NAME="WarmupCosineLR", BASE_LR_END=0.5)
    assert cosine[0] == 1
    assert cosine[5] == pytest.approx(0.75)
    assert cosine[9] > 0.5
    warm = rates(
        LR_SCHEDULER_NAME="WarmupCosineLR",
        WARMUP_ITERS=4,
        WARMUP_METHOD="constant",
        WARMUP_FACTOR=0.1,
    )
    assert warm[:4] == pytest.approx([0.1] * 4)
    assert warm[4] == pytest.approx(rates(LR_SCHEDULER_NAME="WarmupCosineLR")[4])


def test_unknown_schedule_raises():
    with pytest.raises(ValueError, match="NoLR"):
        rates(LR_SCHEDULER_NAME="NoLR")


@pytest.mark.parametrize(("kind", "expected"), [("value", [0.5, 0.5]), ("norm", [0.3, 0.4])])
def test_gradients_are_clipped_before_the_step(kind, expected):
    cfg = get_cfg()
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = kind
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = 0.5
    parameter = nn.Parameter(torch.zeros(2))
    optimizer = maybe_add_gradient_clipping(cfg, torch.optim.SGD)([parameter], lr=1.0)
    assert isinstance(optimizer, torch.optim.SGD)
    parameter.grad = torch.tensor([3.0, 4.0])
    optimizer.step()
    assert (-parameter.data).tolist() == pytest.approx(expected, rel=1e-4)


def test_clipping_is_off_by_default():
    assert maybe_add_gradient_clipping(get_cfg(), torch.optim.SGD) is torch.optim.SGD
