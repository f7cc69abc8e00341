"""What the tests of the formats of annotation tools share."""

from pathlib import Path

import numpy as np
from PIL import Image

from sav.formats.entries import ready
from sav.formats.reading import Reading, read_entry
from sav.formats.registry import FORMATS

DATA = Path(__file__).parent / "data"
"""What tools wrote, of photos of 64x48 pixels; see the README there."""
SIZE = (48, 64)


def photo(folder, name="car.jpg", size=SIZE):
    """A photo of one colour."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], (90, 90, 90)).save(folder / name)
    return folder


def read_all(form, data, images=None, reading=None):
    """{photo: its parts}, and all problems as text."""
    parts, problems = {}, []
    for entry in ready(FORMATS[form], FORMATS[form].find(data, images), data):
        result = read_entry(FORMATS[form], reading or Reading(min_pixels=1), entry)
        problems += map(str, result.problems)
        if result.image is not None:
            parts[entry.name] = result.instances
    return parts, problems


def box(x0, y0, x1, y1, size=SIZE):
    """A mask of a rectangle, in whole pixels."""
    mask = np.zeros(size, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def oval(x, y, a, b, *, degrees=0.0, size=SIZE):
    """A mask of an ellipse, turned clockwise: the pixels whose centres it covers."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    turn = np.deg2rad(degrees)
    along = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
    across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
    return (along / a) ** 2 + (across / b) ** 2 < 1


def overlap(mask, other):
    """IoU of two masks."""
    return (mask & other).sum() / (mask | other).sum()
