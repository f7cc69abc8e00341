"""An augmentation that moves vehicles to other places, and away from the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from sav.d2 import DatasetCatalog
from sav.d2 import transforms as T
from sav.data.augmentation import AffineTransform, StillTransform, log_uniform
from sav.errors import SAVError
from sav.formats.images import read_rgb

_KEY = "INPUT.SAV.BACKGROUNDS"
_SMALLEST = 0.5  # of the piece of a background photo, as a share of the largest that fits
_SOFTNESS = 1.0  # standard deviation of the border's blur in pixels, so that it is no cut


@dataclass(eq=False)
class BackgroundTransform(StillTransform):
    """Shows another photo where no vehicle is; nothing moves.

    Attributes:
        vehicles: (H, W), 1 for a vehicle, 0 for anything else.
        background: (h, w, 3) uint8 RGB, resized to the photo.
    """

    vehicles: np.ndarray
    background: np.ndarray

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Replace what surrounds the vehicles of (H, W, 3) uint8 RGB."""
        height, width = img.shape[:2]
        behind = cv2.resize(self.background, (width, height), interpolation=cv2.INTER_AREA)
        share = cv2.GaussianBlur(self.vehicles.astype(np.float32), (0, 0), _SOFTNESS)
        return cv2.blendLinear(img, behind, share, 1 - share)


@dataclass(kw_only=True, eq=False)
class RandomBackground(T.Augmentation):
    """Puts a photo's vehicles in front of another photo, which shows none.

    Photos of data sets mostly show one vehicle, as large as the photo; in a street most are small.

    Attributes:
        prob: probability of that, for a photo with vehicles.
        scale: lowest and highest scale of the vehicles in their new place, at most 1, drawn
            uniformly in the logarithm.
        datasets: names of the data sets whose photos are put behind them.
    """

    prob: float
    scale: tuple[float, float]
    datasets: Sequence[str]

    @cached_property
    def _files(self) -> list[str]:
        """Found when the first one is needed: a model that only predicts has none of these data."""
        records: list[dict[str, Any]] = []
        for name in self.datasets:
            if name not in DatasetCatalog.list():
                raise SAVError(f"{_KEY}: data set '{name}' is not registered in DATASETS.PARTS")
            records += DatasetCatalog.get(name)
        if not records:
            raise SAVError(f"{_KEY}: INPUT.SAV.BACKGROUND_PROB needs data sets without a vehicle")
        for record in records:
            if record["annotations"]:
                raise SAVError(f"{_KEY}: {record['file_name']} shows a vehicle, by its annotations")
        return [record["file_name"] for record in records]

    def get_transform(self, image: np.ndarray, sem_seg: np.ndarray) -> T.Transform:
        """Draw for an image (H, W, 3) and its vehicles (H, W), from numpy's global random state."""
        if np.random.uniform() >= self.prob or not sem_seg.any():
            return T.NoOpTransform()
        photo = read_rgb(self._files[np.random.randint(len(self._files))])
        size, *corner = np.random.uniform((_SMALLEST, 0, 0), 1)
        behind = _piece(photo, image.shape[:2], size, corner)
        shrink = _shrink(image.shape[:2], log_uniform(*self.scale))
        vehicles = shrink.apply_segmentation(sem_seg)
        return T.TransformList([shrink, BackgroundTransform(vehicles, behind)])


def _shrink(size: tuple[int, int], scale: float) -> AffineTransform:
    """Shrinks an image (height, width), and puts it anywhere in the place that it had."""
    height, width = size
    room = np.random.uniform(size=2) * (1 - scale) * (width, height)
    matrix = np.column_stack([np.eye(2) * scale, room])
    return AffineTransform(matrix, size, border=(0, 0, 0))


def _piece(
    photo: np.ndarray, like: tuple[int, int], size: float, corner: Sequence[float]
) -> np.ndarray:
    """Cut out of a photo (H, W, 3) a piece with the ratio of sides of (height, width).

    Args:
        photo: to cut from.
        like: height and width that give the ratio.
        size: share of the largest piece that fits.
        corner: y and x of the piece's top left corner, as shares of the room there is.
    """
    shape = np.array(photo.shape[:2])
    piece = np.maximum(1, size * min(shape / like) * np.array(like)).astype(int)
    top, left = (np.array(corner) * (shape - piece)).astype(int)
    return photo[top : top + piece[0], left : left + piece[1]]
