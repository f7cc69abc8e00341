"""Metrics of a training run: where they are kept and who writes them."""

from __future__ import annotations

import datetime
import logging
from collections import defaultdict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from fvcore.common.history_buffer import HistoryBuffer

from sav.d2.shared.metrics_file import MetricsFile

# Innermost storage last; `with EventStorage()` pushes and pops.
_STORAGES: list[EventStorage] = []


def get_event_storage() -> EventStorage:
    """Return the storage of the innermost ``with EventStorage(...)`` block."""
    if not _STORAGES:
        raise AssertionError("get_event_storage() works inside a 'with EventStorage(...)' block")
    return _STORAGES[-1]


class EventStorage:
    """Histories of named scalars, and images for TensorBoard.

    Args:
        start_iter: the first iteration.
    """

    def __init__(self, start_iter: int = 0) -> None:
        self._history: dict[str, HistoryBuffer] = defaultdict(HistoryBuffer)
        self._smoothing_hints: dict[str, bool] = {}
        self._latest: dict[str, tuple[float, int]] = {}
        # Name, image, iteration; by this name, as Detectron2 has no other, writers take them.
        self._vis_data: list[tuple[str, Any, int]] = []
        self.iter = start_iter

    def step(self) -> None:
        """Go to the next iteration."""
        self.iter += 1

    def put_scalar(
        self, name: str, value: float, smoothing_hint: bool = True, cur_iter: int | None = None
    ) -> None:
        """Add a value to a history.

        Args:
            name: of the scalar.
            value: number, or scalar tensor.
            smoothing_hint: whether writers show a median of the last values; it must not change.
            cur_iter: iteration of the value if not the current one.
        """
        value = float(value)
        if self._smoothing_hints.setdefault(name, smoothing_hint) != smoothing_hint:
            raise AssertionError(f"scalar {name!r} was put with another smoothing_hint before")
        iteration = self.iter if cur_iter is None else cur_iter
        self._history[name].update(value, iteration)
        self._latest[name] = (value, iteration)

    def put_scalars(
        self, *, smoothing_hint: bool = True, cur_iter: int | None = None, **kwargs: float
    ) -> None:
        """Add several values; see :meth:`put_scalar`."""
        for name, value in kwargs.items():
            self.put_scalar(name, value, smoothing_hint, cur_iter)

    def put_image(self, img_name: str, img_tensor: torch.Tensor | np.ndarray) -> None:
        """Keep an RGB image (3, H, W), uint8 or float in [0, 1], for TensorBoard."""
        self._vis_data.append((img_name, img_tensor, self.iter))

    def clear_images(self) -> None:
        """Drop the kept images."""
        self._vis_data = []

    def history(self, name: str) -> HistoryBuffer:
        """Return the history of a scalar; ``KeyError`` when there is none."""
        if name not in self._history:
            raise KeyError(f"no metric named {name!r}")
        return self._history[name]

    def histories(self) -> dict[str, HistoryBuffer]:
        """Return all histories by name."""
        return self._history

    def latest(self) -> dict[str, tuple[float, int]]:
        """Return the last value and its iteration of every scalar."""
        return self._latest

    def count_samples(self, name: str, window_size: int = 20) -> int:
        """Return how many values of a scalar fall in the last ``window_size`` iterations."""
        values = self._history[name].values()
        newest = self._latest[name][1]
        return sum(1 for _, iteration in values[-window_size:] if iteration > newest - window_size)

    def latest_with_smoothing_hint(self, window_size: int = 20) -> dict[str, tuple[float, int]]:
        """Like :meth:`latest`, with the median of the window where smoothing is wanted."""
        return {
            name: (
                self._history[name].median(self.count_samples(name, window_size))
                if self._smoothing_hints[name]
                else value,
                iteration,
            )
            for name, (value, iteration) in self._latest.items()
        }

    def __enter__(self) -> EventStorage:
        _STORAGES.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _STORAGES.pop()


class EventWriter:
    """Base of what writes the metrics somewhere."""

    def write(self) -> None:
        """Write what is new."""
        raise NotImplementedError

    def close(self) -> None:
        """Close files."""


class JSONWriter(MetricsFile, EventWriter):
    """Writes ``metrics.json``; see :class:`MetricsFile`."""

    def write(self) -> None:
        """Write what is new."""
        self.append(get_event_storage())


class TensorboardXWriter(EventWriter):
    """Write scalars and images as TensorBoard events.

    Args:
        log_dir: folder of the events.
        window_size: number of iterations of the median.
        kwargs: passed to ``torch.utils.tensorboard.SummaryWriter``.
    """

    def __init__(self, log_dir: str, window_size: int = 20, **kwargs: Any) -> None:
        self._window_size = window_size
        self._writer_args = {"log_dir": log_dir, **kwargs}
        self._last_write = -1

    @cached_property
    def _writer(self) -> Any:
        # Importing TensorBoard takes seconds, so only a run that writes pays for it.
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

        return SummaryWriter(**self._writer_args)

    def write(self) -> None:
        """Write what is new."""
        storage = get_event_storage()
        newest = self._last_write
        for name, (value, i) in storage.latest_with_smoothing_hint(self._window_size).items():
            if i > self._last_write:
                self._writer.add_scalar(name, value, i)
                newest = max(newest, i)
        self._last_write = newest
        for name, image, i in storage._vis_data:
            self._writer.add_image(name, image, i)
        storage.clear_images()

    def close(self) -> None:
        """Close the events file if there is one."""
        if "_writer" in self.__dict__:
            self._writer.close()


class CommonMetricPrinter(EventWriter):
    """Log losses, times, learning rate, memory and the time left.

    Args:
        max_iter: last iteration, for the time left; None shows none.
        window_size: number of iterations of the medians.
    """

    def __init__(self, max_iter: int | None = None, window_size: int = 20) -> None:
        self.logger = logging.getLogger(__name__)
        self._max_iter = max_iter
        self._window_size = window_size

    def write(self) -> None:
        """Log one line."""
        storage = get_event_storage()
        if storage.iter == self._max_iter:
            return
        histories = storage.histories()
        parts = []
        if self._max_iter is not None and "time" in histories:
            seconds = histories["time"].median(1000) * (self._max_iter - storage.iter - 1)
            storage.put_scalar("eta_seconds", seconds, smoothing_hint=False)
            parts.append(f"eta: {datetime.timedelta(seconds=int(seconds))}")
        parts.append(f"iter: {storage.iter}")
        for name, history in histories.items():
            if "loss" in name:
                window = storage.count_samples(name, self._window_size)
                parts.append(f"{name}: {history.median(window):.4g}")
        if "time" in histories:
            parts.append(f"time: {histories['time'].global_avg():.4f}")
            parts.append(f"last_time: {histories['time'].latest():.4f}")
        if "data_time" in histories:
            window = storage.count_samples("data_time", self._window_size)
            parts.append(f"data_time: {histories['data_time'].avg(window):.4f}")
        parts.append(f"lr: {histories['lr'].latest():.5g}" if "lr" in histories else "lr: N/A")
        if torch.cuda.is_available():
            parts.append(f"max_mem: {torch.cuda.max_memory_allocated() / 2**20:.0f}M")
        self.logger.info("  ".join(parts))
