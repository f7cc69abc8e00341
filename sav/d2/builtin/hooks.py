"""Hooks for the common needs of a training run."""

from __future__ import annotations

import datetime
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fvcore.common.checkpoint import PeriodicCheckpointer as _PeriodicCheckpointer
from fvcore.common.timer import Timer

from sav.d2.builtin.events import EventWriter
from sav.d2.builtin.train_loop import HookBase
from sav.d2.shared import comm

logger = logging.getLogger(__name__)

_WARMUP = 3
"""Iterations at the beginning of a run that are not timed."""


class IterationTimer(HookBase):
    """Measures the iterations without the hooks; goes first in the list of hooks."""

    def __init__(self) -> None:
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
        iterations = trainer.storage.iter - trainer.start_iter - _WARMUP
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
        if done >= _WARMUP:
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
    """Steps the trainer's schedule after each iteration and stores the learning rate."""

    def before_train(self) -> None:
        """Choose the group whose rate is shown: the one with most parameters, or most common."""
        groups = self.trainer.optimizer.param_groups
        sizes = [len(group["params"]) for group in groups]
        if max(sizes) > 1:
            self._group = sizes.index(max(sizes))
        else:
            rates = [group["lr"] for group in groups]
            self._group = rates.index(Counter(rates).most_common(1)[0][0])

    def after_step(self) -> None:
        """Store the rate that was used, and go on."""
        rate = self.trainer.optimizer.param_groups[self._group]["lr"]
        self.trainer.storage.put_scalar("lr", rate, smoothing_hint=False)
        self.trainer.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule."""
        return self.trainer.scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the state of the schedule."""
        self.trainer.scheduler.load_state_dict(state_dict)


class EvalHook(HookBase):
    """Evaluates every ``eval_period`` iterations, and at the end of a completed training.

    Args:
        eval_period: 0 evaluates at the end only.
        eval_function: returns a nested dict of numbers, or None.
    """

    def __init__(
        self, eval_period: int, eval_function: Callable[[], dict[str, Any] | None]
    ) -> None:
        self._period = eval_period
        self._function = eval_function

    def _evaluate(self) -> None:
        results = self._function()
        if results:
            self.trainer.storage.put_scalars(**_flatten(results), smoothing_hint=False)
        # Ranks that evaluated less wait here rather than time out in the next iteration.
        comm.synchronize()

    def after_step(self) -> None:
        """Evaluate if it is time."""
        done = self.trainer.iter + 1
        if self._period > 0 and done % self._period == 0 and done != self.trainer.max_iter:
            self._evaluate()

    def after_train(self) -> None:
        """Evaluate unless training failed."""
        if self.trainer.iter >= self.trainer.max_iter:
            self._evaluate()


def _flatten(results: Mapping[str, Any]) -> dict[str, float]:
    """Turn nested results into one dict with keys like ``segm/AP``."""
    flat: dict[str, float] = {}
    for key, value in results.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}/{name}": number for name, number in _flatten(value).items()})
        else:
            flat[key] = value
    return flat
