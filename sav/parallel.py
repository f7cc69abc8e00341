"""Work on many images in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2
from tqdm import tqdm

from sav.errors import SAVError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def map_in_processes(
    function: Callable[[_Task], _Result],
    tasks: Sequence[_Task],
    *,
    workers: int,
    chunk: int,
    title: str,
) -> Iterator[_Result]:
    """Yield the results of a function in the order of its tasks, under a progress bar.

    Args:
        function: picklable.
        tasks: one an image, picklable.
        workers: number of processes, 0 for one a core. Fewer are started where there are fewer
            chunks, and with one the work is done in this process.
        chunk: tasks that a process takes at a time.
        title: label of the progress bar.

    Raises:
        SAVError: a process was killed.
    """
    workers = min(workers or os.cpu_count() or 1, len(tasks) // chunk)
    several = workers > 1
    results = _spawn(function, tasks, workers, chunk) if several else map(function, tasks)
    yield from tqdm(results, total=len(tasks), desc=title, unit="img", disable=None)


def _spawn(
    function: Callable[[_Task], _Result], tasks: Sequence[_Task], workers: int, chunk: int
) -> Iterator[_Result]:
    # Spawned processes share no locks with this one, which may hold threads of cv2 or torch.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker)
    try:
        yield from pool.map(function, tasks, chunksize=chunk)
    except BrokenProcessPool as error:
        raise SAVError(
            "a worker process was killed; run the same command again with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    cv2.setNumThreads(0)  # The processes are the parallelism.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # An interrupt is reported once, by the parent.
