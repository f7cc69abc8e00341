"""The best evaluation of a run, and when to stop looking for a better one."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from sav.d2 import CfgNode, HookBase, comm
from sav.errors import SAVError
from sav.evaluation.results import Results


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
        SAVError: on another mode.
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
        self._best: float | None = None
        self._failures = 0
        self._stopped = False

    @classmethod
    def from_config(cls, cfg: CfgNode) -> BestResult | None:
        """Read TEST.BEST; None when nothing is evaluated during training."""
        if not cfg.TEST.EVAL_PERIOD or not cfg.DATASETS.TEST:
            return None
        best = cfg.TEST.BEST
        return cls(best.METRIC, best.MODE, best.PATIENCE, cfg.DATASETS.TEST)

    def improved(self, results: Results) -> bool:
        """Take note of an evaluation; returns whether it is the best so far.

        Args:
            results: of the main process; the others pass {} and are told.

        Raises:
            SAVError: when the results lack the metric.
        """
        value = self._sign * comm.all_gather(self._value(results) if results else 0.0)[0]
        if math.isfinite(value) and (self._best is None or value > self._best):
            self._best, self._failures = value, 0
            return True
        self._failures += 1
        return False

    def _value(self, results: Results) -> float:
        data_set, task, name = self._path
        try:
            return results[data_set][task][name]
        except KeyError as error:
            raise SAVError(
                f"TEST.BEST.METRIC {'/'.join(self._path)}: results.json has no {error}"
            ) from error

    def before_train(self) -> None:
        """A resumed run that had stopped stays stopped."""
        if self._stopped:
            self._stop(self.trainer.start_iter)

    def after_step(self) -> None:
        """Stop when the patience has run out."""
        if self._patience and self._failures >= self._patience:
            self._stopped = True
            self.trainer.checkpointer.save("model_final", iteration=self.trainer.iter)
            self._stop(self.trainer.iter + 1)

    def _stop(self, iterations: int) -> NoReturn:
        # As if the run had been planned so: the other hooks then finish it as usual.
        self.trainer.iter = self.trainer.max_iter = iterations
        raise StopTraining

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"best": self._best, "failures": self._failures, "stopped": self._stopped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        self._best = state["best"]
        self._failures = state["failures"]
        self._stopped = state["stopped"]
