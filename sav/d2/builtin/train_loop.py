"""The training loop, and the hooks that run around its steps."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import nn

from sav.d2.builtin.events import EventStorage, get_event_storage
from sav.d2.shared import comm
from sav.errors import SAVError

logger = logging.getLogger(__name__)


class HookBase:
    """Something that happens during training; ``self.trainer`` is set on registration."""

    trainer: TrainerBase

    def before_train(self) -> None:
        """Run before the first iteration."""

    def after_train(self) -> None:
        """Run after the last iteration, also when training fails."""

    def before_step(self) -> None:
        """Run before each iteration."""

    def after_step(self) -> None:
        """Run after each iteration."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs; it is kept in the checkpoint."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""


class TrainerBase:
    """A loop with hooks.

    Attributes:
        iter: the current iteration.
        start_iter: the first one.
        max_iter: where training ends.
        storage: the metrics, while training runs.
    """

    def __init__(self) -> None:
        self._hooks: list[HookBase] = []
        self.iter = 0
        self.start_iter = 0
        self.max_iter = 0
        self.storage: EventStorage

    def register_hooks(self, hooks: Sequence[HookBase | None]) -> None:
        """Add hooks, which run in the order of registration; None is left out."""
        for hook in hooks:
            if hook is not None:
                # A proxy, because the trainer already owns the hook.
                hook.trainer = weakref.proxy(self)
                self._hooks.append(hook)

    def train(self, start_iter: int, max_iter: int) -> None:
        """Run the iterations from ``start_iter`` up to, not including, ``max_iter``."""
        logger.info("Starting training from iteration %d", start_iter)
        self.iter = self.start_iter = start_iter
        self.max_iter = max_iter
        with EventStorage(start_iter) as self.storage:
            try:
                self.before_train()
                for self.iter in range(start_iter, max_iter):
                    self.before_step()
                    self.run_step()
                    self.after_step()
                # after_train can tell by this that all iterations were done.
                self.iter = max(max_iter, start_iter)
            except SAVError:
                raise  # its one line says it all
            except Exception:
                logger.exception("Exception during training:")
                raise
            finally:
                self.after_train()

    def before_train(self) -> None:
        """Call the hooks before training."""
        for hook in self._hooks:
            hook.before_train()

    def after_train(self) -> None:
        """Call the hooks after training."""
        self.storage.iter = self.iter
        for hook in self._hooks:
            hook.after_train()

    def before_step(self) -> None:
        """Call the hooks before an iteration."""
        self.storage.iter = self.iter
        for hook in self._hooks:
            hook.before_step()

    def after_step(self) -> None:
        """Call the hooks after an iteration."""
        for hook in self._hooks:
            hook.after_step()

    def run_step(self) -> None:
        """Do one iteration."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Return the iteration and the state of the hooks by class name."""
        state: dict[str, Any] = {"iteration": self.iter}
        hooks: dict[str, Any] = {}
        for hook in self._hooks:
            hook_state = hook.state_dict()
            if hook_state:
                hooks.setdefault(type(hook).__qualname__, hook_state)
        if hooks:
            state["hooks"] = hooks
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the iteration and the state of the hooks."""
        self.iter = state_dict["iteration"]
        for name, hook_state in state_dict.get("hooks", {}).items():
            hook = next((h for h in self._hooks if type(h).__qualname__ == name), None)
            if hook is None:
                logger.warning("The checkpoint holds the state of hook %s, which is not used", name)
            else:
                hook.load_state_dict(hook_state)


class SimpleTrainer(TrainerBase):
    """One model, one optimizer, one stream of data; a subclass has ``run_step``.

    Args:
        model: takes a batch and returns a dict of losses.
        data_loader: batches; its iterator is made when first needed.
        optimizer: steps once an iteration.
    """

    def __init__(
        self, model: nn.Module, data_loader: Iterable[Any], optimizer: torch.optim.Optimizer
    ) -> None:
        super().__init__()
        model.train()
        self.model = model
        self.data_loader = data_loader
        self.optimizer = optimizer

    @cached_property
    def _data_loader_iter(self) -> Iterator[Any]:
        return iter(self.data_loader)

    def _write_metrics(self, losses: dict[str, torch.Tensor], data_time: float) -> None:
        """Store the mean losses and the longest data time of all processes."""
        values = torch.stack([loss.detach().float().reshape(()) for loss in losses.values()])
        metrics = dict(zip(losses, values.tolist(), strict=True))
        gathered = comm.gather({**metrics, "data_time": data_time})
        if not comm.is_main_process():
            return
        storage = get_event_storage()
        storage.put_scalar("data_time", max(m.pop("data_time") for m in gathered))
        means = {name: sum(m[name] for m in gathered) / len(gathered) for name in gathered[0]}
        storage.put_scalar("total_loss", sum(means.values()))
        if len(means) > 1:
            storage.put_scalars(**means)

    def state_dict(self) -> dict[str, Any]:
        """Add the optimizer to the state."""
        return {**super().state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the optimizer too."""
        super().load_state_dict(state_dict)
        self.optimizer.load_state_dict(state_dict["optimizer"])
