"""What a training shows while it runs: a progress line, metrics.json, TensorBoard, W&B."""

from __future__ import annotations

import importlib
import json
import logging
import sys
import uuid
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from sav.d2 import (
    CfgNode,
    EventStorage,
    EventWriter,
    JSONWriter,
    TensorboardXWriter,
    get_event_storage,
)
from sav.errors import SAVError
from sav.files import atomic_path
from sav.formats.images import read_rgb

if sys.platform != "win32":
    import resource

_WINDOW = 20
"""Iterations whose median is shown."""

_ETA_WINDOW = 1000


def build_writers(cfg: CfgNode, start_iter: int, max_iter: int) -> list[EventWriter]:
    """Make the writers of a run, which goes on where a checkpoint ends or begins at 0.

    What a killed run wrote after its last checkpoint is dropped, so that metrics.json and the
    charts read as if the run had never been interrupted.

    Args:
        cfg: the run's config.
        start_iter: the first iteration that is going to run.
        max_iter: the iterations of the whole training.

    Raises:
        SAVError: metrics.json cannot be written, or W&B is wanted but cannot be used.
    """
    folder = Path(cfg.OUTPUT_DIR)
    metrics = folder / "metrics.json"
    forget_after(metrics, start_iter)
    writers: list[EventWriter] = [
        ProgressLine(max_iter, cfg.SOLVER.IMS_PER_BATCH),
        JSONWriter(str(metrics), _WINDOW),
    ]
    if cfg.WANDB.ENABLED:
        writers.append(WandbWriter(cfg, start_iter))
    # TensorBoard's writer comes last: it takes the pictures out of the storage.
    return [*writers, TensorboardXWriter(str(folder), _WINDOW, purge_step=start_iter)]


def forget_after(metrics_file: Path, iteration: int) -> None:
    """Drop the lines of a metrics file from an iteration on, and a last line that was cut short.

    Args:
        metrics_file: JSON lines, each with "iteration"; it need not exist.
        iteration: the first one to drop.

    Raises:
        SAVError: the file cannot be written.
    """
    if not metrics_file.is_file():
        return
    lines = metrics_file.read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if _iteration(line) < iteration]
    if kept != lines:
        with atomic_path(metrics_file) as temporary:
            temporary.write_text("".join(kept), "utf-8")


def _iteration(line: str) -> float:
    """The iteration of a line; that of a line cut short never comes."""
    try:
        return json.loads(line)["iteration"] if line.endswith("\n") else float("inf")
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")


def show_predictions(storage: EventStorage, png: Path, name: str = "predictions") -> None:
    """Put a sheet of predictions among the pictures of TensorBoard and W&B.

    Args:
        storage: of the run.
        png: an RGB picture; without such a file nothing happens.
        name: of the picture.
    """
    if png.is_file():
        storage.put_image(name, read_rgb(png).transpose(2, 0, 1))


class ProgressLine(EventWriter):
    """Logs one line: how far, how long still, losses, speed, learning rate and memory.

    Losses and times are medians of the last 20 iterations.

    Args:
        max_iter: the iterations of the whole training.
        batch_size: photos an iteration, of all processes together.
    """

    def __init__(self, max_iter: int, batch_size: int) -> None:
        self._max_iter = max_iter
        self._batch_size = batch_size
        self._last_iter = -1

    def write(self) -> None:
        """Log a line, if there was an iteration since the last one."""
        storage = get_event_storage()
        _, iteration = storage.latest().get("total_loss", (0.0, -1))
        if iteration > self._last_iter:
            self._last_iter = iteration
            logging.getLogger(__name__).info(self._line(storage, iteration + 1))

    def _line(self, storage: EventStorage, done: int) -> str:
        shown = {
            name: value for name, (value, _) in storage.latest_with_smoothing_hint(_WINDOW).items()
        }
        losses = [
            f"{name.removeprefix('loss_')} {value:.4g}"
            for name, value in shown.items()
            if "loss" in name and "/" not in name and name != "total_loss"
        ]
        parts = [f"{done / self._max_iter:6.1%}  {done}/{self._max_iter}"]
        # There are no times before the first few iterations are over.
        if "time" in shown:
            seconds = storage.history("time").median(_ETA_WINDOW) * (self._max_iter - done)
            parts.append(f"eta {timedelta(seconds=round(seconds))}")
        parts.append(f"loss {shown['total_loss']:.4g} ({', '.join(losses)})")
        if "time" in shown:
            parts.append(f"{self._batch_size / shown['time']:.3g} images/s")
            parts.append(f"step {shown['time']:.3g} s")
        if "data_time" in shown:
            parts.append(f"data {shown['data_time']:.3g} s")
        if "lr" in shown:
            parts.append(f"lr {shown['lr']:.3g}")
        return "  ".join([*parts, _peak_memory()]).rstrip()


def _peak_memory() -> str:
    """The most memory used so far: of the GPU if it is used, else of the process."""
    if torch.cuda.is_initialized():
        return f"GPU memory {torch.cuda.max_memory_allocated() / 2**20:.0f} MB"
    if sys.platform == "win32":
        return ""
    unit = 1 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return f"memory {resident / 2**20:.0f} MB"


class WandbWriter(EventWriter):
    """Sends scalars and pictures to Weights & Biases.

    A resumed run goes on in the same charts: its id is kept in OUTPUT_DIR/wandb_run_id. What was
    sent before the interruption stays; W&B ignores it the second time. ``WANDB_MODE=offline`` keeps
    everything in OUTPUT_DIR/wandb, for ``wandb sync``.

    Args:
        cfg: the run's config; it is sent along.
        start_iter: the first iteration; 0 starts a new W&B run.

    Raises:
        SAVError: the package is missing, or W&B cannot start a run.
    """

    def __init__(self, cfg: CfgNode, start_iter: int = 0) -> None:
        try:
            self._wandb = importlib.import_module("wandb")
        except ModuleNotFoundError as error:
            raise SAVError(
                "WANDB.ENABLED is True, but wandb is not installed: pip install wandb"
            ) from error
        folder = Path(cfg.OUTPUT_DIR)
        id_file = folder / "wandb_run_id"
        if start_iter == 0 or not id_file.is_file():
            with atomic_path(id_file) as temporary:
                temporary.write_text(uuid.uuid4().hex[:8], "utf-8")
        try:
            self._run = self._wandb.init(
                project=cfg.WANDB.PROJECT,
                name=cfg.WANDB.NAME or folder.resolve().name,
                id=id_file.read_text("utf-8"),
                resume="allow",
                dir=str(folder),
                config=yaml.safe_load(cfg.dump()),
            )
        except self._wandb.Error as error:
            raise SAVError(
                f"WANDB.ENABLED is True, but: {error} (without an account set WANDB_MODE=offline)"
            ) from error
        self._last_iter = start_iter - 1

    def write(self) -> None:
        """Send what is new."""
        storage = get_event_storage()
        rows: dict[int, dict[str, Any]] = defaultdict(dict)
        for name, (value, iteration) in storage.latest_with_smoothing_hint(_WINDOW).items():
            if iteration > self._last_iter:
                rows[iteration][name] = value
        for name, image, iteration in storage._vis_data:
            pixels = np.asarray(image).transpose(1, 2, 0)
            rows[iteration][name] = self._wandb.Image(pixels)
        for iteration in sorted(rows):
            self._run.log(rows[iteration], step=iteration)
        self._last_iter = max([self._last_iter, *rows])

    def close(self) -> None:
        """Wait until everything is sent."""
        self._run.finish()
