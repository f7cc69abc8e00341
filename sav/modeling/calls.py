"""Calling a module with its weights, or with copies of them that learn nothing."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.func import functional_call


def call(module: nn.Module, *args: Any, frozen: bool = False) -> Any:
    """Call a module; where it is frozen its weights get no gradient, what flows in still does."""
    if not frozen:
        return module(*args)
    fixed = {name: value.detach() for name, value in module.named_parameters()}
    return functional_call(module, fixed, args)
