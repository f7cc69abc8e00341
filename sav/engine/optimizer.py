"""AdamW as SAV trains with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sav.d2 import CfgNode, get_default_optimizer_params, maybe_add_gradient_clipping


def build_adamw(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW with the config's rates, decay and clipping.

    The encoder's body learns at SOLVER.BACKBONE_MULTIPLIER times the base rate. Beside Detectron2's
    clip types, SOLVER.CLIP_GRADIENTS.CLIP_TYPE can be "full_model": one norm over all parameters.
    """
    backbone = cfg.SOLVER.BACKBONE_MULTIPLIER
    params = get_default_optimizer_params(
        model,
        base_lr=cfg.SOLVER.BASE_LR,
        weight_decay=cfg.SOLVER.WEIGHT_DECAY,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
        lr_factor_func=lambda name: backbone if name.startswith("encoder.body") else 1.0,
    )
    clip = cfg.SOLVER.CLIP_GRADIENTS
    if clip.ENABLED and clip.CLIP_TYPE == "full_model":
        adamw = type("AdamWFullModelClip", (_FullModelClip,), {"max_norm": clip.CLIP_VALUE})
    else:
        adamw = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
    return adamw(params, lr=cfg.SOLVER.BASE_LR, betas=tuple(cfg.SOLVER.BETAS), fused=True)


class _FullModelClip(torch.optim.AdamW):
    """Clips the norm of all gradients together before each step."""

    max_norm: float

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Clip, then step."""
        every = [p for group in self.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(every, self.max_norm)
        return super().step(closure)
