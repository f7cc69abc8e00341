"""Photos and videos that a user names: which there are, and what is in them."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sav.errors import SAVError
from sav.formats.images import read_rgb

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"})


class UnreadableInputError(SAVError):
    """One of the user's files cannot be read; the others may be fine."""


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(names: Sequence[str]) -> list[Path]:
    """Resolve files, folders and glob patterns.

    Args:
        names: a file is taken as it is; of a folder the photos and videos directly in it, sorted;
            a pattern may use ``*``, ``?``, ``[]`` and ``**``.

    Returns:
        Each file once, in the order named.

    Raises:
        SAVError: a name that leads to nothing.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_file():
            matches = [path]
        elif path.is_dir():
            matches = _media(path.iterdir())
            if not matches:
                raise SAVError(f"{name}: the folder holds no photo and no video")
        else:
            # Path.glob refuses absolute patterns, and patterns come from users.
            matches = _media(Path(m) for m in glob.glob(name, recursive=True))  # noqa: PTH207
            if not matches:
                raise SAVError(f"{name}: no such file or folder, or a pattern without a match")
        found.update(dict.fromkeys(matches))
    return list(found)


def _media(paths: Iterator[Path]) -> list[Path]:
    known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    return sorted(p for p in paths if p.suffix.lower() in known and p.is_file())


def read_photo(path: Path) -> np.ndarray:
    """Read a photo, turned upright as its EXIF orientation says.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UnreadableInputError: the file is missing, broken, no image, or suspiciously large.
    """
    try:
        return read_rgb(path)
    except SAVError as error:
        raise UnreadableInputError(str(error)) from error
