"""What goes with the steps of a training: averaged weights, the best evaluation, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sav.d2 import HookBase, comm, hooks
from sav.errors import SAVError
from sav.evaluation.results import Results


class EMAHook(HookBase):
    """Averages the trained weights after every step; evaluation and the final model use them.

    Args:
        model: whose trainable parameters are averaged. Buffers are taken as they are.
        decay: weight of the past in each step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._average = {name: p.detach().clone() for name, p in self._live.items()}

    def before_train(self) -> None:
        """Start from the loaded weights, unless a resumed run brought its average."""
        if self.trainer.iter == 0:
            self.load_state_dict(self._live)

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the average towards the present weights."""
        average, live = list(self._average.values()), list(self._live.values())
        torch._foreach_lerp_(average, live, 1 - self._decay)

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

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's average.

        Raises:
            SAVError: it is of other parameters.
        """
        if other := sorted(state.keys() ^ self._average.keys()):
            raise SAVError(
                f"the checkpoint averages other parameters than SOLVER.TRAINED says, such as "
                f"{other[0]}; start the training anew, in another OUTPUT_DIR"
            )
        for name, value in self._average.items():
            value.copy_(state[name])


class StopTraining(BaseException):
    """Ends the training loop early and in good order; not an error, hence no Exception."""


class BestResult(HookBase):
    """Knows the best evaluation so far, and stops training when it has long been passed.

    Args:
        metric: ``segm/AP`` of the first test set, or ``data set/segm/AP``; any figure of
            results.json.
        mode: "max" or "min".
        patience: evaluations without a new best after which training stops; 0 never stops.
        test_sets: names, the first one is meant when the metric names none.

    Raises:
        SAVError: on another mode, or another form of the metric.
    """

    def __init__(self, metric: str, mode: str, patience: int, test_sets: tuple[str, ...]) -> None:
        if mode not in ("max", "min"):
            raise SAVError(f"TEST.BEST.MODE is max or min, not {mode}")
        self._path = metric.split("/")
        if len(self._path) == 2:
            self._path.insert(0, test_sets[0])
        if len(self._path) != 3 or self._path[0] not in test_sets:
            raise SAVError(
                f"TEST.BEST.METRIC {metric}: give it as segm/AP, or with one of the test sets "
                f"({', '.join(test_sets)}) as {test_sets[0]}/segm/AP"
            )
        self._sign = 1.0 if mode == "max" else -1.0
        self._patience = patience
        self._best = -math.inf
        self._failures = 0

    def improved(self, results: Results) -> bool:
        """Take note of an evaluation; returns whether it is the best so far.

        Args:
            results: of the main process; the others pass {} and are told.

        Raises:
            SAVError: when the results lack the metric.
        """
        value = comm.all_gather(self._value(results) if results else 0.0)[0]
        is_best = math.isfinite(value) and value > self._best
        if is_best:
            self._best = value
        self._failures = 0 if is_best else self._failures + 1
        return is_best

    def _value(self, results: Results) -> float:
        data_set, task, name = self._path
        try:
            return self._sign * results[data_set][task][name]
        except KeyError as error:
            raise SAVError(
                f"TEST.BEST.METRIC {'/'.join(self._path)}: results.json has no {error}"
            ) from error

    def before_train(self) -> None:
        """A resumed run that had stopped stays stopped."""
        if self._is_over():
            self._stop(self.trainer.start_iter)

    def after_step(self) -> None:
        """Stop when the patience has run out."""
        if self._is_over():
            self.trainer.checkpointer.save("model_final", iteration=self.trainer.iter)
            self._stop(self.trainer.iter + 1)

    def _is_over(self) -> bool:
        return 0 < self._patience <= self._failures

    def _stop(self, iterations: int) -> None:
        # As if the run had been planned so: the other hooks then finish it as usual.
        self.trainer.iter = self.trainer.max_iter = iterations
        raise StopTraining

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"best": self._best, "failures": self._failures}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        self._best, self._failures = state["best"], state["failures"]


class LastCheckpoints(hooks.PeriodicCheckpointer):
    """Keeps the last few checkpoints, those from before a resume included."""

    def before_train(self) -> None:
        """Look for earlier ones, which are removed in their turn."""
        super().before_train()
        folder = Path(self.checkpointer.save_dir)
        next_name = f"model_{self.trainer.start_iter:07d}.pth"
        earlier = [path for path in folder.glob("model_[0-9]*.pth") if path.name < next_name]
        self.recent_checkpoints = sorted(map(str, earlier))
        while len(self.recent_checkpoints) > self.max_to_keep:  # with that of a stopped run
            Path(self.recent_checkpoints.pop(0)).unlink()
        for half_written in folder.glob(".model_*.pth"):
            half_written.unlink()

    def save_now(self) -> None:
        """Write a checkpoint of the present iteration, unless it is there by the schedule."""
        done = self.trainer.iter + 1
        if done % self.period and done < self.max_iter:
            self.checkpointer.save(f"model_{done - 1:07d}", iteration=done - 1)
