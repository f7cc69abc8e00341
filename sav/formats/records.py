"""What a converter makes of one image, and how many images are converted at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import cv2
import numpy as np
from tqdm import tqdm

from sav.errors import SAVError
from sav.formats.masks import encode_mask, mask_box

_Task = TypeVar("_Task")


@dataclass(frozen=True)
class Problem:
    """A record that could not be used.

    Attributes:
        file: path, relative to the data set's root where possible.
        record: which part of the file, for example "shape 3 (Wheel)"; "" for the whole of it.
        reason: what is wrong with it.
    """

    file: str
    record: str
    reason: str

    def __str__(self) -> str:
        """One line, as errors show it."""
        return ": ".join(part for part in (self.file, self.record, self.reason) if part)


@dataclass(frozen=True)
class PartInstance:
    """One part of one vehicle in one image.

    Attributes:
        class_id: 0-based id in the ontology.
        mask: (H, W) bool or uint8, not empty.
        vehicle_id: which vehicle of the image it belongs to, from 0.
    """

    class_id: int
    mask: np.ndarray
    vehicle_id: int

    def to_annotation(self) -> dict[str, object]:
        """As a COCO annotation, without "id" and "image_id"."""
        x0, y0, x1, y1 = mask_box(self.mask)
        return {
            "category_id": self.class_id + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": int(np.count_nonzero(self.mask)),
            "iscrowd": 0,
            "segmentation": encode_mask(self.mask),
            "vehicle_id": self.vehicle_id,
        }


@dataclass
class RecordResult:
    """What came of one image.

    Attributes:
        image: {"file_name", "width", "height"}, or None when the image is left out.
        annotations: COCO annotations without ids.
        notes: how often something harmless was seen, such as a clipped polygon.
        problems: what was left out and why.
    """

    image: dict[str, object] | None = None
    annotations: list[dict[str, object]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)


def convert_all(
    convert: Callable[[_Task], RecordResult],
    tasks: Sequence[_Task],
    *,
    workers: int,
    strict: bool,
    title: str,
) -> Iterator[RecordResult]:
    """Convert records, in parallel, and yield the results in the order of the tasks.

    Args:
        convert: a picklable function.
        tasks: one a record.
        workers: number of processes; 1 works in this process, 0 takes one a core.
        strict: stop at the first problem.
        title: label of the progress bar.

    Raises:
        SAVError: the first problem, when strict.
    """
    workers = min(workers or os.cpu_count() or 1, max(1, len(tasks) // 16))
    bar = tqdm(total=len(tasks), desc=title, unit="img", disable=None)
    if workers == 1:
        yield from _watch(map(convert, tasks), bar, strict)
        return
    # Spawned processes share no locks with this one, which may hold threads of cv2 or torch.
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
    )
    try:
        yield from _watch(pool.map(convert, tasks, chunksize=16), bar, strict)
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    cv2.setNumThreads(0)  # The processes are the parallelism.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # An interrupt is reported once, by the parent.


def _watch(
    results: Iterator[RecordResult], bar: tqdm[RecordResult], strict: bool
) -> Iterator[RecordResult]:
    with bar:
        for result in results:
            bar.update()
            if strict and result.problems:
                raise SAVError(str(result.problems[0]))
            yield result
