"""Calling a module with its weights, or with copies of them that learn nothing."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.func import functional_call


def call_module(module: nn.Module, *args: Any) -> Any:
    """Call a module."""
    return module(*args)


def call_frozen(module: nn.Module, *args: Any) -> Any:
    """Call a module whose weights get no gradient from it; what flows in still does."""
    fixed = {name: value.detach() for name, value in module.named_parameters()}
    return functional_call(module, fixed, args)
