"""COCO results on disk, written while they are found."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sav.d2 import comm
from sav.evaluation.photo import Detections
from sav.files import atomic_path

_CHUNK = 2**22
"""Bytes that each process sends at once."""


class DetectionsFile:
    """Keeps the detections of this process in a temporary file, not in memory.

    Args:
        path: the JSON file to write in the end.
        category_ids: the data set's id of each class.
    """

    def __init__(self, path: Path, category_ids: Mapping[int, int]) -> None:
        self._path = path
        self._category_ids = category_ids
        self._lines = tempfile.TemporaryFile()  # noqa: SIM115  (see write)

    def add(self, image_id: Any, found: Detections) -> None:
        """Add the detections of a photo."""
        rows = zip(found.classes, found.boxes, found.scores, found.codes, strict=True)
        results = [
            {
                "image_id": image_id,
                "category_id": self._category_ids[int(class_id)],
                "bbox": box.tolist(),
                "score": float(score),
                "segmentation": code,
            }
            for class_id, box, score, code in rows
        ]
        text = json.dumps(results)[1:-1]
        self._lines.write(f"{json.dumps(image_id)}\t{text}\n".encode())

    def write(self) -> None:
        """Write the file of all processes, each photo once; every process must call it.

        Raises:
            SAVError: the file cannot be written.
        """
        self._lines.seek(0)
        main = comm.is_main_process()
        with atomic_path(self._path) if main else nullcontext() as temporary:
            if main:
                temporary.write_bytes(b"[")
            seen: set[bytes] = set()
            start = b"\n"
            while any(comm.all_gather(bool(lines := self._lines.readlines(_CHUNK)))):
                received = [line for batch in comm.gather(lines) for line in batch]
                if not main:
                    continue
                with temporary.open("ab") as stream:
                    for line in received:
                        image_id, results = line.rstrip(b"\n").split(b"\t", 1)
                        if image_id in seen or not results:
                            continue
                        seen.add(image_id)
                        stream.write(start + results)
                        start = b",\n"
            if main:
                with temporary.open("ab") as stream:
                    stream.write(b"\n]\n")
        self._lines.close()
