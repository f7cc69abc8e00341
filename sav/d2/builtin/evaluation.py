"""Running a model over a data set, and the interface of evaluators."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

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
        joined: dict[str, Any] = {}
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
    evaluator: DatasetEvaluator,
) -> dict[str, Any]:
    """Run a model in evaluation mode over a loader and evaluate it.

    Args:
        model: takes a batch and returns one output for each image; its mode is restored.
        data_loader: with a length.
        evaluator: sees every batch and its outputs.

    Returns:
        What the evaluator returns, or an empty dict.
    """
    total = len(data_loader)
    logger.info("Start inference on %d batches", total)
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
