"""Photos and videos that a user names: which there are, and what is in them."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from sav.errors import SAVError
from sav.formats.images import IMAGE_SUFFIXES, read_rgb

_VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"})
_DEFAULT_FPS = 25.0


class UnreadableInputError(SAVError):
    """One of the user's files cannot be read; the others may be fine."""


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its name."""
    return path.suffix.lower() in _VIDEO_SUFFIXES


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
        else:
            # Path.glob refuses absolute patterns, and patterns come from users.
            matches = _media(map(Path, glob.glob(name, recursive=True)))  # noqa: PTH207
        if not matches:
            empty = "the folder holds no photo and no video"
            missing = "no such file or folder, or a pattern without a match"
            raise SAVError(f"{name}: {empty if path.is_dir() else missing}")
        found.update(dict.fromkeys(matches))
    return list(found)


def _media(paths: Iterable[Path]) -> list[Path]:
    known = IMAGE_SUFFIXES | _VIDEO_SUFFIXES
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


class Video:
    """A video file, opened to be read once.

    Args:
        path: the file.

    Attributes:
        fps: frames per second.
        num_frames: what the container claims; 0 when it does not say.

    Raises:
        UnreadableInputError: the file cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise UnreadableInputError(f"{path}: cannot be read as a video")
        self.fps: float = self._capture.get(cv2.CAP_PROP_FPS) or _DEFAULT_FPS
        self.num_frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def frames(self) -> Iterator[np.ndarray]:
        """Decode the frames in order, each (H, W, 3) uint8 RGB.

        Raises:
            UnreadableInputError: not a single frame can be decoded.
        """
        decoded, frame_bgr = self._capture.read()
        if not decoded:
            raise UnreadableInputError(f"{self._path}: the video has no readable frame")
        while decoded:
            yield cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2RGB)
            decoded, frame_bgr = self._capture.read()
