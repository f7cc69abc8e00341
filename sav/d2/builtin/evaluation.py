"""Running a model over a data set, and the interface of evaluators."""

from __future__ import annotations

import datetime
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from sav.d2.builtin.config import CfgNode
from sav.d2.shared import comm

logger = logging.getLogger(__name__)


class DatasetEvaluator:
    """Sees all inputs and outputs of a data set and sums them up."""

    def reset(self) -> None:
        """Begin a new evaluation."""

    def process(self, inputs: list[dict[str, Any]], outputs: list[Any]) -> None:
        """Take a batch of inputs and the model's outputs for them."""

    def evaluate(self) -> dict[str, Any] | None:
        """Return ``{task: {metric: value}}`` in the first process."""


class DatasetEvaluators(DatasetEvaluator):
    """Several evaluators as one; their results must not share a task."""

    def __init__(self, evaluators: Sequence[DatasetEvaluator]) -> None:
        self._evaluators = evaluators

    def reset(self) -> None:
        """Reset all."""
        for evaluator in self._evaluators:
            evaluator.reset()

    def process(self, inputs: list[dict[str, Any]], outputs: list[Any]) -> None:
        """Hand the batch to all."""
        for evaluator in self._evaluators:
            evaluator.process(inputs, outputs)

    def evaluate(self) -> dict[str, Any]:
        """Return the joined results."""
        joined: OrderedDict[str, Any] = OrderedDict()
        for evaluator in self._evaluators:
            result = evaluator.evaluate()
            if comm.is_main_process() and result is not None:
                for task, metrics in result.items():
                    if task in joined:
                        raise AssertionError(f"two evaluators return a task named {task!r}")
                    joined[task] = metrics
        return joined


def inference_on_dataset(
    model: nn.Module,
    data_loader: Iterable[list[dict[str, Any]]],
    evaluator: DatasetEvaluator | Sequence[DatasetEvaluator] | None,
) -> dict[str, Any]:
    """Run a model in evaluation mode over a loader and evaluate it.

    Args:
        model: takes a batch and returns one output for each image; its mode is restored.
        data_loader: with a length.
        evaluator: one or several; None only runs the model.

    Returns:
        What the evaluator returns, or an empty dict.
    """
    total = len(data_loader)
    logger.info("Start inference on %d batches", total)
    if not isinstance(evaluator, DatasetEvaluator):
        evaluator = DatasetEvaluators(evaluator or [])
    evaluator.reset()

    was_training = model.training
    model.eval()
    begin = last_line = time.perf_counter()
    try:
        with torch.no_grad():
            for done, inputs in enumerate(data_loader, start=1):
                evaluator.process(inputs, model(inputs))
                now = time.perf_counter()
                if now - last_line > 5:
                    pace = (now - begin) / done
                    eta = datetime.timedelta(seconds=int(pace * (total - done)))
                    logger.info(
                        "Inference done %d/%d. %.4f s / batch. ETA=%s", done, total, pace, eta
                    )
                    last_line = now
    finally:
        model.train(was_training)
    seconds = time.perf_counter() - begin
    logger.info(
        "Total inference time: %s (%.4f s / batch per process, %d processes)",
        datetime.timedelta(seconds=int(seconds)),
        seconds / max(total, 1),
        comm.get_world_size(),
    )
    return evaluator.evaluate() or {}


def print_csv_format(results: Mapping[str, Any]) -> None:
    """Log the results so that they can be pasted into a table.

    Args:
        results: ``{task: {metric: value}}``. Per-class metrics (with a ``-``) are left out.
    """
    for task, metrics in results.items():
        if isinstance(metrics, Mapping):
            important = [(name, value) for name, value in metrics.items() if "-" not in name]
            logger.info("copypaste: Task: %s", task)
            logger.info("copypaste: %s", ",".join(name for name, _ in important))
            logger.info("copypaste: %s", ",".join(f"{value:.4f}" for _, value in important))
        else:
            logger.info("copypaste: %s=%s", task, metrics)


def verify_results(cfg: CfgNode, results: Mapping[str, Mapping[str, float]]) -> bool:
    """Compare results with ``TEST.EXPECTED_RESULTS``: [task, metric, value, tolerance] each.

    Returns:
        True when all agree.

    Raises:
        SystemExit: with code 1 when they do not, so that scripts notice.
    """
    ok = True
    for task, metric, expected, tolerance in cfg.TEST.EXPECTED_RESULTS:
        actual = results[task].get(metric)
        if actual is None or not math.isfinite(actual) or abs(actual - expected) > tolerance:
            logger.error("%s/%s is %s, expected %s ± %s", task, metric, actual, expected, tolerance)
            ok = False
    if not ok:
        raise SystemExit(1)
    logger.info("Results agree with the expected ones")
    return ok


def flatten_results_dict(results: Mapping[str, Any]) -> dict[str, Any]:
    """Turn nested results into one dict with keys like ``segm/AP``."""
    flat: dict[str, Any] = {}
    for key, value in results.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}/{k}": v for k, v in flatten_results_dict(value).items()})
        else:
            flat[key] = value
    return flat
