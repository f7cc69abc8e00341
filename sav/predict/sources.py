"""Photos and videos that a user names: which there are, and what is in them."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from sav.errors import SAVError
from sav.files import native_name
from sav.formats.images import IMAGE_SUFFIXES, list_left_out, read_rgb

_VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"})
_DEFAULT_FPS = 25.0
_MOST_FPS = 1000.0
"""Containers that do not know their frame rate state their clock's, such as 90,000."""


class UnreadableInputError(SAVError):
    """One of the user's files cannot be read; the others may be fine."""


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its name."""
    return path.suffix.lower() in _VIDEO_SUFFIXES


def find_inputs(names: Sequence[str]) -> list[Path]:
    """Resolve files, folders and glob patterns; what is left out of them goes to the error stream.

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
            matches, left_out = [path], ""
        elif path.is_dir():
            matches, left_out = _media(path.iterdir())
        else:
            # Path.glob refuses absolute patterns, and patterns come from users.
            matches, left_out = _media(map(Path, glob.glob(name, recursive=True)))  # noqa: PTH207
        if not matches:
            empty = "no photo and no video in it" if path.is_dir() or left_out else ""
            missing = "no such file or folder, or a pattern without a match"
            raise SAVError(f"{name}: {'; '.join(filter(None, (empty or missing, left_out)))}")
        if left_out:
            sys.stderr.write(f"{name}: {left_out}\n")
        found.update(dict.fromkeys(matches))
    return list(found)


def _media(paths: Iterable[Path]) -> tuple[list[Path], str]:
    """The photos and videos among paths, sorted, and in words what else there is."""
    known = IMAGE_SUFFIXES | _VIDEO_SUFFIXES
    # Hidden ones are of other programs, such as what macOS writes beside each photo on a USB stick.
    shown = [path for path in paths if not path.name.startswith(".")]
    files = [path for path in shown if path.is_file()]
    media = sorted(path for path in files if path.suffix.lower() in known)
    folders = sum(path.is_dir() for path in shown)
    left_out = [list_left_out(set(files).difference(media))]
    if folders:
        left_out.append(f"{folders} {'folder' if folders == 1 else 'folders'} not looked into")
    return media, "; ".join(filter(None, left_out))


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
        fps: frames per second; 25 when the container does not say.
        num_frames: what the container claims; 0 when it does not say.

    Raises:
        UnreadableInputError: the file cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with native_name(path) as name:
            self._capture = cv2.VideoCapture(name)
        if not self._capture.isOpened():
            raise UnreadableInputError(f"{path}: cannot be read as a video")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float = fps if 0 < fps <= _MOST_FPS else _DEFAULT_FPS
        self.num_frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def frames(self) -> Iterator[np.ndarray]:
        """Decode the frames in order, each (H, W, 3) uint8 RGB.

        Where the container claims more, it is said on the error stream at the end.

        Raises:
            UnreadableInputError: not a single frame can be decoded.
        """
        count = 0
        while (read := self._capture.read())[0]:
            yield cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
            count += 1
        if not count:
            raise UnreadableInputError(f"{self._path}: the video has no readable frame")
        if count < self.num_frames:
            claim = f"only {count} of the {self.num_frames} frames that it claims can be read"
            sys.stderr.write(f"{self._path}: {claim}\n")
