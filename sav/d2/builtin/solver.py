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


def get_default_optimizer_params(
    model: nn.Module,
    *,
    base_lr: float,
    weight_decay: float,
    weight_decay_norm: float,
    weight_decay_bias: float | None,
    bias_lr_factor: float,
) -> list[dict[str, Any]]:
    """Sort the trainable parameters into optimizer groups.

    Args:
        model: parameters that need no gradient are left out; shared ones appear once.
        base_lr: learning rate of every group.
        weight_decay: likewise.
        weight_decay_norm: weight decay of normalisation layers.
        weight_decay_bias: weight decay of biases; None treats them as their layer's other
            parameters.
        bias_lr_factor: factor of the learning rate of biases.

    Returns:
        As few groups as there are different settings.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            decay = weight_decay_norm if isinstance(module, _NORM_LAYERS) else weight_decay
            rate = base_lr
            if name == "bias":
                rate *= bias_lr_factor
                decay = decay if weight_decay_bias is None else weight_decay_bias
            groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def maybe_add_gradient_clipping(
    cfg: CfgNode, optimizer: type[torch.optim.Optimizer]
) -> type[torch.optim.Optimizer]:
    """Let an optimizer clip gradients before each step, if ``SOLVER.CLIP_GRADIENTS`` says so.

    Clipping is for each parameter on its own: ``value`` limits the elements, ``norm`` the norm.

    Args:
        cfg: the config.
        optimizer: the class.

    Returns:
        The class, or one derived from it.
    """
    clip = cfg.SOLVER.CLIP_GRADIENTS
    if not clip.ENABLED:
        return optimizer
    if clip.CLIP_TYPE not in ("value", "norm"):
        raise ValueError(f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is value or norm, not {clip.CLIP_TYPE}")
    by_value, limit, norm_type = clip.CLIP_TYPE == "value", clip.CLIP_VALUE, clip.NORM_TYPE

    def step(self: torch.optim.Optimizer, closure: Callable[[], float] | None = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                if by_value:
                    nn.utils.clip_grad_value_(parameter, limit)
                else:
                    nn.utils.clip_grad_norm_(parameter, limit, norm_type)
        return optimizer.step(self, closure)

    return type(f"{optimizer.__name__}WithGradientClip", (optimizer,), {"step": step})


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
