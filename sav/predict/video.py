"""Videos, frame by frame: reading and writing them through OpenCV, and what is drawn on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from sav.d2 import Instances
from sav.errors import SAVError
from sav.files import atomic_path
from sav.predict.sources import UnreadableInputError

_DEFAULT_FPS = 25.0


@dataclass(frozen=True)
class Video:
    """A video file that could be opened.

    Attributes:
        path: the file.
        fps: frames per second.
        num_frames: what the container claims; 0 when it does not say.
    """

    path: Path
    fps: float
    num_frames: int

    @classmethod
    def open(cls, path: Path) -> Video:
        """Read the header of a video.

        Raises:
            UnreadableInputError: the file cannot be decoded.
        """
        capture = cv2.VideoCapture(str(path))
        try:
            if not capture.isOpened():
                raise UnreadableInputError(f"{path}: cannot be read as a video")
            fps = capture.get(cv2.CAP_PROP_FPS) or _DEFAULT_FPS
            return cls(path, fps, max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))))
        finally:
            capture.release()

    def frames(self) -> Iterator[np.ndarray]:
        """Decode the frames in order, each (H, W, 3) uint8 RGB.

        Raises:
            UnreadableInputError: not a single frame can be decoded.
        """
        capture = cv2.VideoCapture(str(self.path))
        count = 0
        try:
            while True:
                decoded, frame_bgr = capture.read()
                if not decoded:
                    break
                count += 1
                yield cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2RGB)
        finally:
            capture.release()
        if count == 0:
            raise UnreadableInputError(f"{self.path}: the video has no readable frame")


class SteadyParts:
    """Chooses what is drawn of frame after frame, so that names do not blink.

    A part appears when its score reaches the threshold and stays while it keeps two thirds of it.
    Parts of a class are not told apart: as many as there were in the frame before may stay.

    Args:
        score_threshold: in [0, 1].
    """

    def __init__(self, score_threshold: float) -> None:
        self._appears = score_threshold
        self._stays = score_threshold * 2 / 3
        self._shown: Counter[int] = Counter()

    def __call__(self, parts: Instances) -> Instances:
        """Return the instances to draw, in their order."""
        classes, scores = parts.pred_classes.tolist(), parts.scores.tolist()
        shown: Counter[int] = Counter()
        kept = torch.zeros(len(parts), dtype=torch.bool)
        for i in parts.scores.argsort(descending=True, stable=True).tolist():
            was_there = shown[classes[i]] < self._shown[classes[i]]
            if scores[i] >= (self._stays if was_there else self._appears):
                kept[i] = True
                shown[classes[i]] += 1
        self._shown = shown
        return parts[kept]


@contextmanager
def video_writer(path: Path, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Write an MP4 that appears when the block ends well.

    Args:
        path: the file, ending in .mp4.
        fps: frames per second.

    Yields:
        A function that appends a frame, (H, W, 3) uint8 RGB; the first one sets the size.

    Raises:
        SAVError: this OpenCV cannot write MP4, or the file cannot be written.
    """
    writer: cv2.VideoWriter | None = None

    with atomic_path(path) as temporary:

        def append(frame: np.ndarray) -> None:
            nonlocal writer
            # Players want even sides: chroma is stored at half the resolution.
            height, width = (side - side % 2 for side in frame.shape[:2])
            if writer is None:
                codec = cv2.VideoWriter.fourcc(*"mp4v")
                writer = cv2.VideoWriter(str(temporary), codec, fps, (width, height))
                if not writer.isOpened():
                    raise SAVError(f"{path}: OpenCV cannot write an MP4 video here")
            writer.write(cv2.cvtColor(frame[:height, :width], cv2.COLOR_RGB2BGR))

        try:
            yield append
        finally:
            if writer is not None:
                writer.release()
