"""AdamW and the learning rate schedules as SAV trains with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    LinearParamScheduler,
    PolynomialDecayParamScheduler,
)
from torch import nn

from sav.d2 import (
    CfgNode,
    LRMultiplier,
    build_lr_scheduler,
    get_default_optimizer_params,
    maybe_add_gradient_clipping,
)
from sav.errors import SAVError

_ADDED_UP = re.compile(r"(token|tokens|embed|embedding|rel_pos_[hw]|relative_position_bias_table)$")
"""Names of parameters that are added to features and multiply none: tokens, positions, classes."""


def freeze_others(model: nn.Module, trained: Sequence[str]) -> None:
    """Freeze all parameters but those whose names start with one of ``trained``; none: freeze none.

    Raises:
        SAVError: a start fits no parameter that could learn.
    """
    if trained:
        kept = {p for prefix in trained for p in _trained(model, prefix, "TRAINED")}
        for parameter in model.parameters():
            parameter.requires_grad_(parameter in kept)


def _trained(model: nn.Module, prefix: str, key: str) -> list[nn.Parameter]:
    """The parameters that learn and whose names start so; ``key`` is for the error."""
    named = model.named_parameters()
    found = [p for name, p in named if p.requires_grad and name.startswith(prefix)]
    if not found:
        raise SAVError(f"SOLVER.{key}: no trained parameter's name starts with {prefix!r}")
    return found


def build_adamw(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW with the config's rates, decay and clipping.

    SOLVER.WEIGHT_DECAY is for what multiplies features, see :func:`_decays`.
    SOLVER.LR_MULTIPLIERS and SOLVER.WEIGHT_DECAYS are pairs of (start of a parameter's name,
    value); of several that fit the last one counts. Beside Detectron2's clip types,
    SOLVER.CLIP_GRADIENTS.CLIP_TYPE can be "full_model": one norm over all parameters.
    SOLVER.LAYER_DECAY multiplies the rates of the encoder's layers.

    Raises:
        SAVError: when a pair fits no parameter that is trained, or the layers' decay none.
    """
    solver = cfg.SOLVER
    groups = get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        weight_decay=solver.WEIGHT_DECAY,
        weight_decay_norm=0.0,
        weight_decay_bias=0.0,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
    )
    settings = {p: {**group, "params": None} for group in groups for p in group["params"]}
    decaying = _decays(model)
    for parameter, setting in settings.items():
        if parameter not in decaying:
            setting["weight_decay"] = 0.0
    for prefix, factor in solver.LR_MULTIPLIERS:
        for parameter in _trained(model, prefix, "LR_MULTIPLIERS"):
            settings[parameter]["lr"] = solver.BASE_LR * factor
    for prefix, decay in solver.WEIGHT_DECAYS:
        for parameter in _trained(model, prefix, "WEIGHT_DECAYS"):
            settings[parameter]["weight_decay"] = decay
    if solver.LAYER_DECAY != 1:
        _decay_layers(model, solver.LAYER_DECAY, settings)
    # As few groups as there are different settings.
    grouped: dict[Sequence[tuple[str, Any]], dict[str, Any]] = {}
    for parameter, setting in settings.items():
        group = grouped.setdefault(tuple(sorted(setting.items())), {**setting, "params": []})
        group["params"].append(parameter)
    clip, adamw, betas = solver.CLIP_GRADIENTS, torch.optim.AdamW, tuple(solver.BETAS)
    clips_all = clip.ENABLED and clip.CLIP_TYPE == "full_model"
    if not clips_all:
        adamw = maybe_add_gradient_clipping(cfg, adamw)
    optimizer = adamw([*grouped.values()], lr=solver.BASE_LR, betas=betas, fused=True)
    if clips_all:

        def clip_all(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            every = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(every, clip.CLIP_VALUE)

        optimizer.register_step_pre_hook(clip_all)
    return optimizer


def _decays(model: nn.Module) -> set[nn.Parameter]:
    """The parameters that weight decay is for: weight matrices and kernels.

    Not biases, norms and scales, which have fewer than two dimensions, nor embeddings, nor tokens,
    positions and the graph's embeddings, which are known by their names.
    """
    embeddings = {p for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    return {
        parameter
        for name, parameter in model.named_parameters()
        if parameter.ndim > 1 and parameter not in embeddings and not _ADDED_UP.search(name)
    }


def _decay_layers(
    model: nn.Module, decay: float, settings: dict[nn.Parameter, dict[str, Any]]
) -> None:
    """Lower layers learn slower (arXiv 2003.10555): the last of the encoder ``decay`` times less.

    What the layers are the encoder says, see their ``layers_above``.
    """
    if not 0 < decay < 1:
        raise SAVError(f"SOLVER.LAYER_DECAY: {decay} is not above 0 and at most 1")
    above = model.encoder.layers_above()
    trained = {n: p for n, p in model.encoder.named_parameters() if n in above and p in settings}
    if not trained:
        raise SAVError("SOLVER.LAYER_DECAY: the encoder is frozen; see MODEL.SAM.TUNING")
    for name, parameter in trained.items():
        settings[parameter]["lr"] *= decay ** above[name]


def build_schedule(
    cfg: CfgNode, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler:
    """Detectron2's schedules, and ``WarmupPolyLR``.

    The latter warms up linearly and goes to 0 as (1 - progress) ** SOLVER.POLY_LR_POWER.
    """
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME != "WarmupPolyLR":
        return build_lr_scheduler(cfg, optimizer)
    schedule = PolynomialDecayParamScheduler(1.0, solver.POLY_LR_POWER)
    length = solver.WARMUP_ITERS / solver.MAX_ITER
    if 0 < length < 1:
        warmup = LinearParamScheduler(solver.WARMUP_FACTOR, schedule(length))
        schedule = CompositeParamScheduler(
            [warmup, schedule], lengths=[length, 1 - length], interval_scaling=["rescaled", "fixed"]
        )
    return LRMultiplier(optimizer, schedule, solver.MAX_ITER)
