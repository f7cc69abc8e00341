"""Label Studio's run-length code of brush strokes.

A stream of bits: 32 for the number of values, 5 for the bits of a value less one, four times 4 for
the bits of a length less one. Then blocks: 1 bit for a run or else values one by one, 2 for which
of the four lengths follows, the length less one, and one value or as many as the length says. The
values are those of a picture of four channels, row by row; the last channel is the opacity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sav.errors import SAVError
from sav.formats.geometry import runs_by_row

_CHANNELS = 4
_VALUE_BITS = 8
_HEADER_BITS = 53
_LENGTH_BITS = (4, 8, 12, 16)
"""Those that we write."""
_HALF_SEEN = 128
"""The rims of strokes are half transparent; of those, the more opaque belong to the mask."""


def decode_brush(code: Any, height: int, width: int) -> np.ndarray:
    """The mask of a code.

    Args:
        code: a list of whole numbers, 0 to 255, as the file has it.
        height: of the photo, in pixels.
        width: of the photo, in pixels.

    Returns:
        (height, width) bool.

    Raises:
        SAVError: it is no such code, of another size, or cut off.
    """
    bits = _bits(code)
    count, value_bits = int(bits[:32], 2), int(bits[32:37], 2) + 1
    if count != _CHANNELS * height * width or value_bits != _VALUE_BITS:
        raise SAVError(
            f"its brush code is for {count} values of {value_bits} bits, but the image of "
            f"{width}x{height} has {_CHANNELS * height * width} of {_VALUE_BITS}"
        )
    length_bits = [int(bits[at : at + 4], 2) + 1 for at in range(37, _HEADER_BITS, 4)]
    opacity = np.zeros(height * width, dtype=np.uint8)
    start, at = 0, _HEADER_BITS
    while start < count:
        if at + 3 > len(bits):
            raise SAVError("its brush code is cut off")
        is_run = bits[at : at + 1] == b"1"
        first = at + 3 + length_bits[int(bits[at + 1 : at + 3], 2)]
        end = start + 1 + int(bits[at + 3 : first] or b"0", 2)
        at = first + _VALUE_BITS * (1 if is_run else end - start)
        if at > len(bits) or end > count:
            raise SAVError("its brush code is cut off, or longer than the image")
        values = np.packbits(np.frombuffer(bits[first:at], dtype=np.uint8) - ord("0"))
        if not is_run:
            values = values[_CHANNELS - 1 - start % _CHANNELS :: _CHANNELS]
        opacity[start // _CHANNELS : end // _CHANNELS] = values
        start = end
    return (opacity >= _HALF_SEEN).reshape(height, width)


def _bits(code: Any) -> bytes:
    """A character "0" or "1" for each bit."""
    try:
        stream = bytes(code) if isinstance(code, list) else b""
    except (TypeError, ValueError) as error:
        raise SAVError("its brush code is not a list of numbers from 0 to 255") from error
    if 8 * len(stream) < _HEADER_BITS:
        raise SAVError("its brush code has no beginning")
    return (np.unpackbits(np.frombuffer(stream, dtype=np.uint8)) + ord("0")).tobytes()


def encode_brush(mask: np.ndarray) -> list[int]:
    """The code of a mask (H, W) bool."""
    header = f"{_CHANNELS * mask.size:032b}{_VALUE_BITS - 1:05b}"
    header += "".join(f"{bits - 1:04b}" for bits in _LENGTH_BITS)
    text = header + "".join(_blocks((_CHANNELS * runs_by_row(mask)).tolist()))
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _blocks(runs: Sequence[int]) -> Iterator[str]:
    longest = 1 << _LENGTH_BITS[-1]
    for i, run in enumerate(runs):
        value = "1" * _VALUE_BITS if i % 2 else "0" * _VALUE_BITS
        for start in range(0, run, longest):
            length = min(run - start, longest) - 1
            kind = next(k for k, bits in enumerate(_LENGTH_BITS) if length < 1 << bits)
            yield f"1{kind:02b}{length:0{_LENGTH_BITS[kind]}b}{value}"
