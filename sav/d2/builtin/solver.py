"""Optimizers, gradient clipping and learning rate schedules from a config."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import torch
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    CosineParamScheduler,
    LinearParamScheduler,
    MultiStepParamScheduler,
    ParamScheduler,
)
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from sav.d2.builtin.config import CfgNode

logger = logging.getLogger(__name__)

_NORM_LAYERS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
)


def get_default_optimizer_params(  # noqa: PLR0917  (Detectron2's own signature)
    model: nn.Module,
    base_lr: float | None = None,
    weight_decay: float | None = None,
    weight_decay_norm: float | None = None,
    bias_lr_factor: float | None = 1.0,
    weight_decay_bias: float | None = None,
    lr_factor_func: Callable[[str], float] | None = None,
    overrides: dict[str, dict[str, float]] | None = None,
) -> list[dict[str, Any]]:
    """Sort the trainable parameters into optimizer groups.

    Args:
        model: parameters that need no gradient are left out; shared ones appear once.
        base_lr: learning rate of every group; None leaves it to the optimizer.
        weight_decay: likewise.
        weight_decay_norm: weight decay of normalisation layers.
        bias_lr_factor: factor of the learning rate of biases.
        weight_decay_bias: weight decay of biases.
        lr_factor_func: full parameter name to a factor of the learning rate.
        overrides: hyper-parameters by the last part of a parameter's name.

    Returns:
        As few groups as there are different settings.

    Raises:
        ValueError: when a factor is given without ``base_lr``, or biases are overridden twice.
    """
    overrides = dict(overrides or {})
    defaults = {"lr": base_lr, "weight_decay": weight_decay}
    defaults = {name: value for name, value in defaults.items() if value is not None}
    scales_bias = bias_lr_factor is not None and bias_lr_factor != 1.0
    if base_lr is None and (scales_bias or lr_factor_func is not None):
        raise ValueError("a learning rate factor needs base_lr")
    bias: dict[str, float] = {}
    if scales_bias:
        bias["lr"] = base_lr * bias_lr_factor
    if weight_decay_bias is not None:
        bias["weight_decay"] = weight_decay_bias
    if bias and "bias" in overrides:
        raise ValueError("biases are overridden twice")
    if bias:
        overrides["bias"] = bias

    groups: dict[tuple[tuple[str, float], ...], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            settings = dict(defaults)
            if isinstance(module, _NORM_LAYERS) and weight_decay_norm is not None:
                settings["weight_decay"] = weight_decay_norm
            if lr_factor_func is not None:
                settings["lr"] *= lr_factor_func(f"{module_name}.{name}")
            settings.update(overrides.get(name, {}))
            groups.setdefault(tuple(settings.items()), []).append(parameter)
    return [{"params": params, **dict(settings)} for settings, params in groups.items()]


def maybe_add_gradient_clipping(
    cfg: CfgNode, optimizer: type[torch.optim.Optimizer] | torch.optim.Optimizer
) -> Any:
    """Let an optimizer clip gradients before each step, if ``SOLVER.CLIP_GRADIENTS`` says so.

    Clipping is for each parameter on its own: ``value`` limits the elements, ``norm`` the norm.

    Args:
        cfg: the config.
        optimizer: a class, or an optimizer, which is changed in place.

    Returns:
        The class or optimizer.
    """
    clip = cfg.SOLVER.CLIP_GRADIENTS
    if not clip.ENABLED:
        return optimizer
    if clip.CLIP_TYPE not in ("value", "norm"):
        raise ValueError(f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is value or norm, not {clip.CLIP_TYPE}")
    by_value, limit, norm_type = clip.CLIP_TYPE == "value", clip.CLIP_VALUE, clip.NORM_TYPE
    is_class = isinstance(optimizer, type)
    base = optimizer if is_class else type(optimizer)

    def step(self: torch.optim.Optimizer, closure: Callable[[], float] | None = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                if by_value:
                    nn.utils.clip_grad_value_(parameter, limit)
                else:
                    nn.utils.clip_grad_norm_(parameter, limit, norm_type)
        return base.step(self, closure)

    clipping = type(f"{base.__name__}WithGradientClip", (base,), {"step": step})
    if is_class:
        return clipping
    optimizer.__class__ = clipping
    return optimizer


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Build SGD with momentum from ``cfg.SOLVER``, with gradient clipping if enabled."""
    solver = cfg.SOLVER
    groups = get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
    )
    optimizer = torch.optim.SGD(
        groups,
        lr=solver.BASE_LR,
        momentum=solver.MOMENTUM,
        nesterov=solver.NESTEROV,
        weight_decay=solver.WEIGHT_DECAY,
    )
    return maybe_add_gradient_clipping(cfg, optimizer)


class LRMultiplier(LRScheduler):
    """Learning rates as their initial values times a function of progress.

    Args:
        optimizer: whose groups are scheduled.
        multiplier: progress in [0, 1) to a factor.
        max_iter: iterations that make up the whole of the progress.
        last_iter: the last iteration that is done; -1 at the beginning.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        multiplier: ParamScheduler,
        max_iter: int,
        last_iter: int = -1,
    ) -> None:
        self._multiplier = multiplier
        self._max_iter = max_iter
        super().__init__(optimizer, last_epoch=last_iter)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs; the multiplier comes from the config."""
        return {"base_lrs": self.base_lrs, "last_epoch": self.last_epoch}

    def get_lr(self) -> list[float]:
        """Return the learning rates of the current iteration."""
        factor = self._multiplier(self.last_epoch / self._max_iter)
        return [base_lr * factor for base_lr in self.base_lrs]


def _with_warmup(cfg: CfgNode, schedule: ParamScheduler) -> ParamScheduler:
    """Put a warm-up before a schedule, ending at the value that the schedule has there."""
    solver = cfg.SOLVER
    length = min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0)
    if length <= 0:
        return schedule
    start = solver.WARMUP_FACTOR * schedule(0.0)
    if solver.WARMUP_METHOD == "linear":
        warmup: ParamScheduler = LinearParamScheduler(start, schedule(length))
    elif solver.WARMUP_METHOD == "constant":
        warmup = ConstantParamScheduler(start)
    else:
        raise ValueError(f"SOLVER.WARMUP_METHOD is linear or constant, not {solver.WARMUP_METHOD}")
    if length >= 1.0:
        return warmup
    return CompositeParamScheduler(
        [warmup, schedule],
        interval_scaling=["rescaled", "fixed"],
        lengths=[length, 1 - length],
    )


def build_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
    """Build the schedule that ``SOLVER.LR_SCHEDULER_NAME`` names, with its warm-up.

    ``WarmupMultiStepLR`` multiplies by GAMMA at each of STEPS, ``WarmupCosineLR`` goes down to
    BASE_LR_END along a cosine.
    """
    solver = cfg.SOLVER
    name = solver.LR_SCHEDULER_NAME
    if name == "WarmupMultiStepLR":
        steps = _steps_within(solver.STEPS, solver.MAX_ITER)
        schedule: ParamScheduler = MultiStepParamScheduler(
            values=[solver.GAMMA**k for k in range(len(steps) + 1)],
            milestones=steps,
            num_updates=solver.MAX_ITER,
        )
    elif name == "WarmupCosineLR":
        end = solver.BASE_LR_END / solver.BASE_LR
        if not 0 <= end <= 1:
            raise AssertionError("SOLVER.BASE_LR_END lies between 0 and BASE_LR")
        schedule = CosineParamScheduler(1.0, end)
    else:
        raise ValueError(f"unknown SOLVER.LR_SCHEDULER_NAME {name!r}")
    return LRMultiplier(optimizer, _with_warmup(cfg, schedule), solver.MAX_ITER)


def _steps_within(steps: Iterable[int], max_iter: int) -> list[int]:
    kept = [step for step in steps if step <= max_iter]
    if len(kept) != len(tuple(steps)):
        logger.warning("SOLVER.STEPS beyond SOLVER.MAX_ITER are ignored")
    return kept
