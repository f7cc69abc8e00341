"""Whether a JPEG file is whole, without decoding it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

_START, _END, _SCAN = b"\xff\xd8", 0xD9, 0xDA
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xFE, *range(0xC0, 0xC4), *range(0xE0, 0xF0)})
"""Markers of tables, frames of Huffman codes, comments and what applications add."""
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_NO_MARKERS = np.isin(np.arange(256), [0x00, 0xFF, *range(0xD0, 0xD8)])
"""In a scan, 0xff is followed by 0, by the number of a restart, or by another 0xff."""


def is_whole_jpeg(path: Path) -> bool:
    """Whether a file has all segments of a JPEG up to the mark of its end.

    Decoding takes ten times as long. Where a scan was cut off, or spoiled so that it has marks that
    it cannot have, the answer is no, which does not mean that the file cannot be decoded.

    Args:
        path: of the file.

    Raises:
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    if not content.startswith(_START):
        return False
    at, scans = len(_START), 0
    while found := _MARKER.match(content, at):
        (marker,) = found[1]
        if marker == _END:
            return scans > 0
        if marker != _SCAN and marker not in _TABLES:
            return False
        length = int.from_bytes(content[found.end() : found.end() + 2])
        at = found.end() + length
        if marker == _SCAN:
            scans += 1
            at = _end_of_scan(content, at)
    return False


def _end_of_scan(content: bytes, start: int) -> int:
    """Where the marker begins that follows."""
    values = np.frombuffer(content, dtype=np.uint8, offset=min(start, len(content)))
    at = np.flatnonzero(values[:-1] == 0xFF)
    markers = at[~_NO_MARKERS[values[at + 1]]]
    return start + int(markers[0]) if len(markers) else len(content)
