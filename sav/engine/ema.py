"""Exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sav.d2 import HookBase


class EMAHook(HookBase):
    """Averages the trained weights after every step; evaluation and the final model use them.

    Args:
        model: whose trainable parameters are averaged. Buffers are taken as they are.
        decay: weight of the past in each step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._average = {name: p.detach().clone() for name, p in self._live.items()}

    def before_train(self) -> None:
        """Start from the loaded weights, unless a resumed run brought its average."""
        if self.trainer.iter == 0:
            for name, value in self._live.items():
                self._average[name].copy_(value.detach())

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the average towards the present weights."""
        torch._foreach_lerp_(
            list(self._average.values()), list(self._live.values()), 1 - self.decay
        )

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within this context the model has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, live in self._live.items():
            kept = live.detach().clone()
            live.copy_(self._average[name])
            self._average[name].copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """The average, for checkpoints."""
        return dict(self._average)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's average."""
        for name, value in self._average.items():
            value.copy_(state[name])
