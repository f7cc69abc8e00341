"""COCO's compressed run-length codes as numbers.

A character holds 5 bits of a number. From the fourth on, numbers are differences.

Several codes are read at once, as a step of numpy costs more than what it does for one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from sav.errors import SAVError

_CHARACTERS = bytes(range(48, 48 + 64))
_LAST = frozenset(_CHARACTERS[i : i + 1] for i in range(32))
"""Those at which a number ends."""
_LONGEST = 7
"""Characters of a number; pycocotools' numbers have 32 bits, 5 a character."""


def run_lengths(counts: str | bytes) -> np.ndarray:
    """The lengths (n,) int64 in a compressed code, those of zeros first.

    Raises:
        SAVError: it has characters that no code has, or ends in the middle of a number.
    """
    return split_run_lengths([counts])[0]


def split_run_lengths(counts: Sequence[str | bytes]) -> list[np.ndarray]:
    """The lengths in each of N codes, see :func:`run_lengths`."""
    lengths, bounds = _joined(counts)
    return [lengths[start:end] for start, end in pairwise(bounds)]


def are_sound(counts: Sequence[str | bytes], pixels: Sequence[int]) -> bool:
    """Whether N codes are all as pycocotools writes them, so that it can take them.

    Args:
        counts: compressed codes.
        pixels: of the photo of each.
    """
    try:
        lengths, bounds = _joined(counts)
    except SAVError:
        return False
    firsts = bounds[:-1]
    wrong = lengths < 1
    wrong[firsts] = lengths[firsts] < 0  # none where a mask has the first pixel
    totals = np.add.reduceat(lengths, firsts).tolist() if firsts else []
    return not wrong.any() and totals == list(pixels)


def _joined(counts: Sequence[str | bytes]) -> tuple[np.ndarray, list[int]]:
    """The lengths of N codes, one after the other, and the N + 1 bounds between these."""
    texts = [_bytes(text) for text in counts]
    joined = b"".join(texts)
    if joined.translate(None, _CHARACTERS) or not all(text[-1:] in _LAST for text in texts):
        raise _unreadable()
    digits = np.frombuffer(joined, dtype=np.uint8) - np.uint8(48)
    ends = np.flatnonzero(digits < 0x20)
    lengths = _numbers(digits, ends)
    stops = np.searchsorted(ends, list(accumulate(map(len, texts))))
    bounds = [0, *stops.tolist()]
    _add_up(lengths, bounds)
    return lengths, bounds


def _bytes(text: str | bytes) -> bytes:
    """What is not ASCII becomes bytes that no code has."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def _unreadable() -> SAVError:
    return SAVError("its run-length code is not one of COCO's compressed codes")


def _numbers(digits: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The signed numbers (n,) int64 whose last characters, the highest ones, are at `ends`."""
    sizes = ends.copy()
    sizes[1:] -= ends[:-1]
    sizes[:1] += 1
    if sizes.max(initial=0) > _LONGEST:
        raise _unreadable()
    starts = ends - sizes + 1
    place = 5 * (np.arange(len(digits)) - np.repeat(starts, sizes))
    values = np.add.reduceat((digits & 0x1F).astype(np.int64) << place, starts)
    return values - ((digits[ends] & 0x10) << (5 * sizes - 4))


def _add_up(numbers: np.ndarray, bounds: Sequence[int]) -> None:
    """Make lengths, in their place: from the fourth on, each is the difference to the last but one.

    Sums run through all codes; what does not belong to a code is taken off again.
    """
    firsts = [int(numbers[start]) for start in bounds[:-1]]
    for column in (numbers[0::2], numbers[1::2]):
        column[:] = column.cumsum()
    offsets = [
        (int(numbers[start - 1]) if start else 0, int(numbers[start])) for start in bounds[:-1]
    ]
    for (start, end), (before, own), first in zip(pairwise(bounds), offsets, firsts, strict=True):
        numbers[start + 1 : end : 2] -= before
        numbers[start + 2 : end : 2] -= own
        numbers[start] = first
