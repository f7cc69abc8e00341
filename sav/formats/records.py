"""What a converter makes of one image, and the conversion of many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np

from sav.errors import SAVError
from sav.formats.masks import encode_mask, mask_box
from sav.parallel import map_in_processes

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
    if strict:
        convert = partial(_convert_strictly, convert)
    return map_in_processes(convert, tasks, workers=workers, chunk=16, title=title)


def _convert_strictly(convert: Callable[[_Task], RecordResult], task: _Task) -> RecordResult:
    result = convert(task)
    if result.problems:
        raise SAVError(str(result.problems[0]))
    return result
