"""Trainings as processes, one after the other or several at a time."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from sav.errors import SAVError

_STDERR = 2
_CONSOLE_FILE = "console.txt"
_POLL_SECONDS = 0.1


def run_all(commands: Sequence[tuple[Path, list[str]]], parallel: int, progress: tqdm) -> None:
    """Run trainings, and leave none running whatever happens.

    One at a time writes to the standard error stream, several write to ``console.txt`` in their
    folders and share the GPUs and the CPU's threads.

    Args:
        commands: each with the folder that it writes to, in this order.
        parallel: so many at a time.
        progress: moves with each that is done.

    Raises:
        SAVError: one failed.
    """
    waiting = list(reversed(commands))
    running: dict[int, tuple[Path, subprocess.Popen[bytes]]] = {}
    try:
        while waiting or running:
            for slot in set(range(parallel)).difference(running):
                if waiting:
                    folder, command = waiting.pop()
                    running[slot] = folder, _start(command, folder, slot, parallel)
            time.sleep(_POLL_SECONDS)
            for slot, (folder, process) in list(running.items()):
                if process.poll() is not None:
                    del running[slot]
                    _check_success(process, folder, parallel)
                    progress.update()
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.wait()


def _start(command: list[str], folder: Path, slot: int, parallel: int) -> subprocess.Popen[bytes]:
    if parallel == 1:
        # The standard output is the table's.
        return subprocess.Popen(command, stdout=_STDERR)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _CONSOLE_FILE).open("wb") as console:
        return subprocess.Popen(
            command, stdout=console, stderr=subprocess.STDOUT, env=_share(slot, parallel)
        )


def _share(slot: int, parallel: int) -> dict[str, str]:
    """The environment of one of several processes: its GPU, and its share of the cores."""
    environment = dict(os.environ)
    threads = max(1, torch.get_num_threads() // parallel)
    environment.setdefault("OMP_NUM_THREADS", str(threads))
    if gpus := torch.cuda.device_count():
        names = environment.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
        environment["CUDA_VISIBLE_DEVICES"] = names.split(",")[slot % gpus]
    return environment


def _check_success(process: subprocess.Popen[bytes], folder: Path, parallel: int) -> None:
    if process.returncode == 0:
        return
    reason = "the reason is above"
    if parallel > 1:
        console = folder / _CONSOLE_FILE
        lines = console.read_text("utf-8", errors="replace").strip().splitlines()
        reason = f"{lines[-1] if lines else 'without a word'} ({console})"
    raise SAVError(
        f"{folder}: this training failed, {reason}; the same command again keeps what is finished"
    )
