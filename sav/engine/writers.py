"""What a training shows while it runs: a progress line, metrics.json, TensorBoard, W&B."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from datetime import timedelta
from operator import itemgetter
from pathlib import Path

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
from sav.files import write_atomic
from sav.formats.images import read_rgb

if sys.platform != "win32":
    import resource

_WINDOW = 20
"""Iterations whose median is shown."""
_ETA_WINDOW = 1000


def build_writers(cfg: CfgNode, start_iter: int, max_iter: int) -> list[EventWriter]:
    """Make the writers of a run of ``max_iter`` iterations that goes on at ``start_iter``, or at 0.

    What a killed run wrote after its last checkpoint is dropped, so that metrics.json and the
    charts read as if the run had never been interrupted.

    Raises:
        SAVError: metrics.json cannot be written, or W&B is wanted but cannot be used.
    """
    folder = Path(cfg.OUTPUT_DIR)
    metrics = folder / "metrics.json"
    forget_after(metrics, start_iter)
    return [
        ProgressLine(max_iter, cfg.SOLVER.IMS_PER_BATCH),
        JSONWriter(str(metrics), _WINDOW),
        *([WandbWriter(cfg, start_iter)] if cfg.WANDB.ENABLED else []),
        # It comes last: it takes the pictures out of the storage.
        TensorboardXWriter(str(folder), _WINDOW, purge_step=start_iter),
    ]


def forget_after(metrics_file: Path, iteration: int) -> None:
    """Drop the lines of a metrics file from an iteration on, and a last line that was cut short.

    The file has JSON lines, each with "iteration". It need not exist.

    Raises:
        SAVError: the file cannot be written.
    """
    if metrics_file.is_file():
        lines = metrics_file.read_text("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if _iteration(line) < iteration]
        if kept != lines:
            write_atomic(metrics_file, "".join(kept))


def _iteration(line: str) -> float:
    """The iteration of a line; that of a line cut short never comes."""
    try:
        return json.loads(line)["iteration"] if line.endswith("\n") else float("inf")
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")


def show_predictions(storage: EventStorage, png: Path) -> None:
    """Put a sheet of predictions, if there is one, among the pictures of TensorBoard and W&B."""
    if png.is_file():
        storage.put_image("predictions", read_rgb(png).transpose(2, 0, 1))


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
        latest = storage.latest_with_smoothing_hint(_WINDOW)
        shown = {name: value for name, (value, _) in latest.items()}
        losses = [
            f"{name.removeprefix('loss_')} {value:.4g}"
            for name, value in shown.items()
            if "loss" in name and "/" not in name and name != "total_loss"
        ]
        eta, speed = [], []
        # There are no times before the first few iterations are over.
        if "time" in shown:
            seconds = storage.history("time").median(_ETA_WINDOW) * (self._max_iter - done)
            eta = [f"eta {timedelta(seconds=round(seconds))}"]
            speed = [f"{self._batch_size / shown['time']:.3g} images/s  step {shown['time']:.3g} s"]
        if "data_time" in shown:
            speed.append(f"data {shown['data_time']:.3g} s")
        if "lr" in shown:
            speed.append(f"lr {shown['lr']:.3g}")
        loss = f"loss {shown['total_loss']:.4g} ({', '.join(losses)})"
        progress = f"{done / self._max_iter:6.1%}  {done}/{self._max_iter}"
        return "  ".join([progress, *eta, loss, *speed, _peak_memory()]).rstrip()


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
        goes_on = start_iter > 0 and id_file.is_file()
        try:
            self._run = self._wandb.init(
                project=cfg.WANDB.PROJECT,
                name=cfg.WANDB.NAME or folder.resolve().name,
                id=id_file.read_text("utf-8") if goes_on else None,
                resume="allow",
                dir=str(folder),
                config=yaml.safe_load(cfg.dump()),
            )
        except self._wandb.Error as error:
            raise SAVError(
                f"WANDB.ENABLED is True, but: {error} (without an account set WANDB_MODE=offline)"
            ) from error
        write_atomic(id_file, self._run.id)
        self._last_iter = start_iter - 1

    def write(self) -> None:
        """Send what is new."""
        storage = get_event_storage()
        scalars = storage.latest_with_smoothing_hint(_WINDOW).items()
        news = [(i, name, value) for name, (value, i) in scalars if i > self._last_iter]
        for name, image, i in storage._vis_data:
            news.append((i, name, self._wandb.Image(np.asarray(image).transpose(1, 2, 0))))
        # W&B puts together what is of one step, and takes the steps in their order alone.
        for iteration, name, value in sorted(news, key=itemgetter(0)):
            self._run.log({name: value}, step=iteration)
            self._last_iter = max(self._last_iter, iteration)

    def close(self) -> None:
        """Wait until everything is sent."""
        self._run.finish()
