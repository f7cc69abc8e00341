"""Modules whose weights learn nothing: for one call, or for good."""

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


def rest_frozen(model: nn.Module) -> None:
    """Switch to prediction what of a model's components is frozen: it never acts otherwise."""
    for module in [part for child in model.children() for part in child.modules()]:
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()
