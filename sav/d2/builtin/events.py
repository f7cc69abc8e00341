"""Metrics of a training run: where they are kept and who writes them."""

from __future__ import annotations

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

    def put_scalar(self, name: str, value: float, smoothing_hint: bool = True) -> None:
        """Add a value of this iteration to a history.

        Args:
            name: of the scalar.
            value: number, or scalar tensor.
            smoothing_hint: whether writers show a median of the last values; it must not change.
        """
        value = float(value)
        if self._smoothing_hints.setdefault(name, smoothing_hint) != smoothing_hint:
            raise AssertionError(f"scalar {name!r} was put with another smoothing_hint before")
        self._history[name].update(value, self.iter)
        self._latest[name] = (value, self.iter)

    def put_scalars(self, *, smoothing_hint: bool = True, **kwargs: float) -> None:
        """Add several values; see :meth:`put_scalar`."""
        for name, value in kwargs.items():
            self.put_scalar(name, value, smoothing_hint)

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

    def latest(self) -> dict[str, tuple[float, int]]:
        """Return the last value and its iteration of every scalar."""
        return self._latest

    def latest_with_smoothing_hint(self, window_size: int = 20) -> dict[str, tuple[float, int]]:
        """Like :meth:`latest`, with the median of the window where smoothing is wanted."""
        return {
            name: (
                self._median(name, window_size) if self._smoothing_hints[name] else value,
                iteration,
            )
            for name, (value, iteration) in self._latest.items()
        }

    def _median(self, name: str, window_size: int) -> float:
        """The median of the values of a scalar's last ``window_size`` iterations."""
        newest = self._latest[name][1]
        values = self._history[name].values()[-window_size:]
        count = sum(1 for _, iteration in values if iteration > newest - window_size)
        return self._history[name].median(count)

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
