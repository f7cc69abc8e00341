"""Hooks for the common needs of a training run."""

from __future__ import annotations

import datetime
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from fvcore.common.checkpoint import PeriodicCheckpointer as _PeriodicCheckpointer
from fvcore.common.timer import Timer

from sav.d2.builtin.evaluation import flatten_results_dict
from sav.d2.builtin.events import EventWriter
from sav.d2.builtin.train_loop import HookBase, TrainerBase
from sav.d2.shared import comm

logger = logging.getLogger(__name__)

__all__ = [
    "CallbackHook",
    "EvalHook",
    "IterationTimer",
    "LRScheduler",
    "PeriodicCheckpointer",
    "PeriodicWriter",
]

_Callback = Callable[[TrainerBase], None] | None


class CallbackHook(HookBase):
    """Functions as a hook; each takes the trainer."""

    def __init__(
        self,
        *,
        before_train: _Callback = None,
        after_train: _Callback = None,
        before_step: _Callback = None,
        after_step: _Callback = None,
    ) -> None:
        self._callbacks = {
            "before_train": before_train,
            "after_train": after_train,
            "before_step": before_step,
            "after_step": after_step,
        }

    def _call(self, name: str) -> None:
        callback = self._callbacks[name]
        if callback is not None:
            callback(self.trainer)

    def before_train(self) -> None:
        """Call the function of that name."""
        self._call("before_train")

    def after_train(self) -> None:
        """Call the function of that name."""
        self._call("after_train")

    def before_step(self) -> None:
        """Call the function of that name."""
        self._call("before_step")

    def after_step(self) -> None:
        """Call the function of that name."""
        self._call("after_step")


class IterationTimer(HookBase):
    """Measures the iterations without the hooks; goes first in the list of hooks.

    Args:
        warmup_iter: iterations at the beginning that do not count.
    """

    def __init__(self, warmup_iter: int = 3) -> None:
        self._warmup_iter = warmup_iter
        self._step_timer = Timer()
        self._total_timer = Timer()
        self._start_time = time.perf_counter()

    def before_train(self) -> None:
        """Start the clock."""
        self._start_time = time.perf_counter()
        self._total_timer.reset()
        self._total_timer.pause()

    def after_train(self) -> None:
        """Log the speed and the total time."""
        total = time.perf_counter() - self._start_time
        in_steps = self._total_timer.seconds()
        trainer = self.trainer
        iterations = trainer.storage.iter - trainer.start_iter - self._warmup_iter
        if iterations > 0 and in_steps > 0:
            logger.info(
                "Overall training speed: %d iterations in %s (%.4f s / it)",
                iterations,
                datetime.timedelta(seconds=int(in_steps)),
                in_steps / iterations,
            )
        logger.info(
            "Total training time: %s (%s on hooks)",
            datetime.timedelta(seconds=int(total)),
            datetime.timedelta(seconds=int(total - in_steps)),
        )

    def before_step(self) -> None:
        """Start the clock of the iteration."""
        self._step_timer.reset()
        self._total_timer.resume()

    def after_step(self) -> None:
        """Store the time of the iteration."""
        done = self.trainer.iter - self.trainer.start_iter + 1
        if done >= self._warmup_iter:
            self.trainer.storage.put_scalars(time=self._step_timer.seconds())
        else:
            self._start_time = time.perf_counter()
            self._total_timer.reset()
        self._total_timer.pause()


class PeriodicWriter(HookBase):
    """Lets writers write every ``period`` iterations, after the last one, and at the end."""

    def __init__(self, writers: Sequence[EventWriter], period: int = 20) -> None:
        self._writers = writers
        self._period = period

    def after_step(self) -> None:
        """Write if it is time."""
        done = self.trainer.iter + 1
        if done % self._period == 0 or done == self.trainer.max_iter:
            for writer in self._writers:
                writer.write()

    def after_train(self) -> None:
        """Write what other hooks left at the end, and close."""
        for writer in self._writers:
            writer.write()
            writer.close()


class PeriodicCheckpointer(_PeriodicCheckpointer, HookBase):
    """Saves ``model_0000019`` and so on every ``period`` iterations, and ``model_final``."""

    def before_train(self) -> None:
        """Learn where training ends."""
        self.max_iter = self.trainer.max_iter

    def after_step(self) -> None:
        """Save if it is time."""
        self.step(self.trainer.iter)


class LRScheduler(HookBase):
    """Steps the schedule after each iteration and stores the learning rate.

    Args:
        optimizer: by default the trainer's.
        scheduler: by default the trainer's.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer | None = None,
        scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    ) -> None:
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._group = 0

    @property
    def scheduler(self) -> torch.optim.lr_scheduler.LRScheduler:
        """The schedule."""
        return self._scheduler or self.trainer.scheduler

    def before_train(self) -> None:
        """Choose the group whose rate is shown: the one with most parameters, or most common."""
        self._optimizer = self._optimizer or self.trainer.optimizer
        groups = self._optimizer.param_groups
        sizes = [len(group["params"]) for group in groups]
        if max(sizes) > 1:
            self._group = sizes.index(max(sizes))
        else:
            rates = [group["lr"] for group in groups]
            self._group = rates.index(Counter(rates).most_common(1)[0][0])

    def after_step(self) -> None:
        """Store the rate that was used, and go on."""
        rate = self._optimizer.param_groups[self._group]["lr"]
        self.trainer.storage.put_scalar("lr", rate, smoothing_hint=False)
        self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule."""
        return self.scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the state of the schedule."""
        self.scheduler.load_state_dict(state_dict)


class EvalHook(HookBase):
    """Evaluates every ``eval_period`` iterations, and at the end of a completed training.

    Args:
        eval_period: 0 evaluates at the end only.
        eval_function: returns a nested dict of numbers, or None.
        eval_after_train: whether to evaluate at the end.
    """

    def __init__(
        self,
        eval_period: int,
        eval_function: Callable[[], dict[str, Any] | None],
        eval_after_train: bool = True,
    ) -> None:
        self._period = eval_period
        self._function = eval_function
        self._after_train = eval_after_train

    def _evaluate(self) -> None:
        results = self._function()
        if results:
            flat = flatten_results_dict(results)
            for name, value in flat.items():
                try:
                    flat[name] = float(value)
                except (TypeError, ValueError) as error:
                    raise ValueError(
                        f"an evaluation returns a nested dict of numbers, but {name} is {value!r}"
                    ) from error
            self.trainer.storage.put_scalars(**flat, smoothing_hint=False)
        # Ranks that evaluated less wait here rather than time out in the next iteration.
        comm.synchronize()

    def after_step(self) -> None:
        """Evaluate if it is time."""
        done = self.trainer.iter + 1
        if self._period > 0 and done % self._period == 0 and done != self.trainer.max_iter:
            self._evaluate()

    def after_train(self) -> None:
        """Evaluate unless training failed."""
        if self._after_train and self.trainer.iter >= self.trainer.max_iter:
            self._evaluate()
