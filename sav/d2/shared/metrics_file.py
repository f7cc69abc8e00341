"""The file of a run's metrics."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from pathlib import Path
from typing import Any


class MetricsFile:
    """Mix-in of an event writer: scalars as lines of strict JSON, one an iteration.

    Values that are not finite become ``null``.

    Args:
        json_file: path of the file; lines are appended.
        window_size: number of iterations of the median.
    """

    def __init__(self, json_file: str, window_size: int = 20) -> None:
        self._file = Path(json_file).open("a", encoding="utf-8")  # noqa: SIM115  (see close)
        self._window_size = window_size
        self._last_write = -1

    def append(self, storage: Any) -> None:
        """Write what is new in the storage of a run."""
        lines: dict[int, dict[str, float | None]] = defaultdict(dict)
        latest = storage.latest_with_smoothing_hint(self._window_size)
        for name, (value, iteration) in latest.items():
            if iteration > self._last_write:
                lines[iteration][name] = value if math.isfinite(value) else None
        for iteration, scalars in sorted(lines.items()):
            line = {**scalars, "iteration": iteration}
            self._file.write(json.dumps(line, sort_keys=True, allow_nan=False) + "\n")
            self._last_write = iteration
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
