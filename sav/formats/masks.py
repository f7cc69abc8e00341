"""Masks as run-length codes: the one place where segmentations of files are checked.

Pixel convention: coordinates are continuous, as LabelMe and COCO have them. (0, 0) is the outer
corner of the top left pixel, pixel (row r, column c) is the square [c, c + 1] x [r, r + 1], and it
belongs to a polygon when its centre lies inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from sav.errors import SAVError
from sav.formats.crops import runs_of_mask
from sav.formats.run_lengths import are_sound, run_lengths

Code = dict[str, Any]
"""A compressed run-length code: {"size": [H, W], "counts": str or bytes}."""

_FURTHEST = 1e9
"""Larger coordinates, in pixels, are taken for slips: products of them lose the pixel."""
MAX_PIXELS = 2 * 89_478_485
"""Of an image; it is also the most that PIL opens. Drawing a larger one would take all memory."""
_LONGEST_OUTLINE = 100_000
"""Pixels that a polygon may be long, beside a quarter of the number that the image has: drawing
takes memory for all of its outline."""


def encode_mask(mask: np.ndarray) -> Code:
    """Compress a mask (H, W) of bool or uint8.

    Returns:
        COCO's run-length code {"size": [H, W], "counts": str}, ready for JSON.
    """
    code = _code_of_runs(runs_of_mask(mask), *mask.shape)
    return {"size": list(mask.shape), "counts": code["counts"].decode("ascii")}


def decode_codes(codes: Sequence[Code], height: int, width: int) -> np.ndarray:
    """Expand compressed run-length codes of one size.

    Returns:
        (N, height, width) uint8 masks of 0 and 1. Each is stored column by column, as the codes
        are: turning them round would take longer than expanding them.
    """
    if not codes:
        return np.zeros((0, height, width), dtype=np.uint8)
    return coco_mask.decode(list(codes)).transpose(2, 0, 1)


def mask_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Tight box of a mask (H, W) that is not empty.

    Returns:
        x0, y0, x1, y1 in pixels, the far edges exclusive.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def run_length_code(
    segmentation: Any, height: int, width: int, *, holes: Sequence[Any] = ()
) -> Code:
    """Check a segmentation and bring it into one form, a compressed run-length code.

    pycocotools reads memory that is not its own, or takes all there is, when numbers are wrong. So
    whatever comes from a file goes through here before it goes there.

    Args:
        segmentation: a polygon or polygons [x0, y0, x1, y1, ...], of which the union is taken, and
            what lies in the image; a run-length code, compressed or not; or a mask (height, width),
            0 for the background.
        height: of the image, in pixels.
        width: of the image, in pixels.
        holes: polygons that are taken away.

    Returns:
        the code; it may be of no pixel.

    Raises:
        SAVError: it is none of these, has another size, or numbers that cannot be.
    """
    if height * width > MAX_PIXELS:
        raise SAVError(f"an image of {width}x{height} is larger than any photo that is read")
    if isinstance(segmentation, np.ndarray):
        if segmentation.shape != (height, width):
            raise SAVError(_other_size(segmentation.shape, height, width))
        code = encode_mask(segmentation != 0)
    elif isinstance(segmentation, dict):
        code = _checked_code(segmentation, height, width)
    else:
        code = _draw(segmentation, height, width)
    if not holes:
        return code
    return shared_code(code, _complement(_draw(list(holes), height, width)))


def sound_codes(segmentations: Sequence[Any], sizes: Sequence[tuple[int, int]]) -> bool:
    """Whether all of them are what :func:`run_length_code` would return; much faster at once.

    Args:
        segmentations: as there.
        sizes: height, width of the image of each.
    """
    if not all(map(_is_compressed, segmentations, sizes)):
        return False
    counts = [segmentation["counts"] for segmentation in segmentations]
    return are_sound(counts, [height * width for height, width in sizes])


def _is_compressed(segmentation: Any, size: tuple[int, int]) -> bool:
    if not isinstance(segmentation, dict) or segmentation.keys() != {"size", "counts"}:
        return False
    stated, counts = segmentation["size"], segmentation["counts"]
    if not isinstance(stated, list) or [*map(type, stated)] != [int, int] or (*stated,) != size:
        return False
    return isinstance(counts, str | bytes) and len(counts) <= _longest(*size)


def _longest(height: int, width: int) -> int:
    """Two characters a run are enough where all runs together are the image."""
    return 2 * height * width + 64


def area(code: Code) -> int:
    """Pixels of a mask."""
    return int(coco_mask.area(code))


def merge_codes(codes: Sequence[Code]) -> Code:
    """The union of codes of one size."""
    return codes[0] if len(codes) == 1 else coco_mask.merge(list(codes))


def shared_code(first: Code, second: Code) -> Code:
    """The intersection of two codes of one size."""
    return coco_mask.merge([first, second], intersect=True)


def shares_covered(codes: Sequence[Code], by: Sequence[Code]) -> np.ndarray:
    """(N, M) float64: the share of each of N codes that lies in each of M others, 0 to 1."""
    return np.asarray(coco_mask.iou(list(codes), list(by), [1] * len(by)))  # crowds count so


def visible_codes(codes: Sequence[Code]) -> list[Code]:
    """What is seen of each code of one size where later ones lie over earlier ones."""
    seen: list[Code] = []
    free: Code | None = None
    for code in reversed(codes):
        seen.append(code if free is None else shared_code(code, free))
        others = _complement(code)
        free = others if free is None else shared_code(free, others)
    return seen[::-1]


def _complement(code: Code) -> Code:
    runs = run_lengths(code["counts"])
    runs = runs[1:] if runs[0] == 0 and len(runs) > 1 else np.concatenate([[0], runs])
    return _code_of_runs(runs, *code["size"])


def clip_polygon(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Cut off what of a polygon lies outside an image (Sutherland and Hodgman, 1974).

    Edges that leave the image are cut where they cross its border; moving their corners there
    would bend them. Where a polygon leaves and comes back, it runs along the border, outside of
    every pixel's centre.

    Args:
        points: (N, 2) float x, y in pixels.
        width: of the image.
        height: of the image.

    Returns:
        (M, 2); M is 0 where nothing is left.
    """
    for axis, limit, sign in ((0, 0, 1), (0, width, -1), (1, 0, 1), (1, height, -1)):
        if not len(points):
            break
        beyond = sign * (points[:, axis] - limit) < 0
        if not beyond.any():
            continue
        following = np.roll(points, -1, axis=0)
        crosses = beyond != np.roll(beyond, -1)
        step = following[:, axis] - points[:, axis]
        share = (limit - points[:, axis]) / np.where(crosses, step, 1)
        crossing = points + share[:, None] * (following - points)
        crossing[:, axis] = limit
        both = np.stack([points, crossing], axis=1)
        points = both[np.stack([~beyond, crosses], axis=1)]
    return points


def has_polygons(segmentation: Any) -> bool:
    """Whether it is a list of polygons, and not of the numbers of one, nor a mask."""
    listed = isinstance(segmentation, list | tuple) and len(segmentation) > 0
    return listed and isinstance(segmentation[0], list | tuple | np.ndarray)


def _draw(segmentation: Any, height: int, width: int) -> Code:
    if not isinstance(segmentation, list | tuple) or not len(segmentation):
        raise SAVError("the segmentation is neither a list of polygons nor a run-length code")
    polygons = segmentation if has_polygons(segmentation) else [segmentation]
    clipped = [clip_polygon(_points(polygon), width, height) for polygon in polygons]
    flat = [_outline(points, height * width) for points in clipped if len(points) > 2]
    if not flat:
        return encode_mask(np.zeros((height, width), dtype=bool))
    return coco_mask.merge(coco_mask.frPyObjects(flat, height, width))


def _outline(points: np.ndarray, pixels: int) -> list[float]:
    """The numbers of a polygon in an image of so many pixels."""
    length = np.abs(np.diff(points, axis=0, append=points[:1])).max(axis=1).sum()
    if length > pixels / 4 + _LONGEST_OUTLINE:
        raise SAVError("the outline of a polygon is longer than any part's: it crosses itself")
    return points.ravel().tolist()


def _points(polygon: Any) -> np.ndarray:
    """(N, 2) float64 of a flat list of numbers."""
    numbers = polygon.ravel().tolist() if isinstance(polygon, np.ndarray) else polygon
    if not isinstance(numbers, list | tuple):
        raise SAVError("a polygon is not a list of numbers")
    if not set(map(type, numbers)) <= {int, float}:
        raise SAVError("a polygon has a coordinate that is not a number")
    if len(numbers) < 6 or len(numbers) % 2:
        odd = "an odd number of coordinates" if len(numbers) % 2 else "fewer than 3 points"
        raise SAVError(f"a polygon has {odd}")
    try:
        points = np.array(numbers, dtype=np.float64).reshape(-1, 2)
    except OverflowError:  # an integer of a thousand digits
        points = np.array([[np.inf]])
    if not (np.abs(points) <= _FURTHEST).all():
        raise SAVError("a polygon has a coordinate that is not a number, or far from any photo")
    return points


def _checked_code(segmentation: dict[str, Any], height: int, width: int) -> Code:
    if not {"size", "counts"} <= segmentation.keys():
        raise SAVError("the segmentation is neither a list of polygons nor a run-length code")
    size, counts = segmentation["size"], segmentation["counts"]
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        raise SAVError(_other_size(size, height, width))
    if isinstance(counts, str | bytes):
        runs = run_lengths(counts if len(counts) <= _longest(height, width) else b"")
    elif isinstance(counts, list) and set(map(type, counts)) <= {int}:
        runs = np.array([min(max(run, -1), 2**40) for run in counts], dtype=np.int64)
    else:
        raise SAVError("the counts of its run-length code are neither a text nor whole numbers")
    if (runs < 0).any() or runs.sum() != height * width:
        raise SAVError(
            f"its run-length code does not add up to the {height * width} pixels of the image; "
            "it may be cut off"
        )
    if (runs[1:] == 0).any():
        return _code_of_runs(_without_empty(runs), height, width)
    if isinstance(counts, list):
        return _code_of_runs(runs, height, width)
    return {"size": [height, width], "counts": counts}


def _code_of_runs(runs: np.ndarray, height: int, width: int) -> Code:
    return coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)


def _without_empty(runs: np.ndarray) -> np.ndarray:
    """The same mask without runs of no pixel, at which pycocotools stops when it joins masks."""
    values = np.arange(len(runs)) % 2
    runs, values = runs[runs > 0], values[runs > 0]
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    lengths = np.add.reduceat(runs, starts)
    return lengths if values[0] == 0 else np.concatenate([[0], lengths])


def _other_size(size: Any, height: int, width: int) -> str:
    listed = isinstance(size, list | tuple) and len(size) == 2
    if not listed or not set(map(type, size)) <= {int, float}:
        return "the size of its run-length code is not [height, width]"
    return f"the segmentation is {size[1]}x{size[0]}, but the image is {width}x{height}"
