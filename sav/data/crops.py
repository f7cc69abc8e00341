"""Boxes cut out of a photo, each as an input of the model of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sav.data.letterbox import Letterbox


@dataclass(frozen=True, eq=False)
class PhotoCrops:
    """A photo at its full size, from which the model may ask for pieces.

    Attributes:
        photo: (H, W, 3) uint8 RGB.
        letterbox: brings a piece to the canvas.
    """

    photo: np.ndarray
    letterbox: Letterbox

    def __call__(self, box: Sequence[int]) -> dict[str, Any]:
        """The "image", "height" and "width" of a piece: XYXY pixels inside the photo."""
        left, top, right, bottom = box
        piece = np.ascontiguousarray(self.photo[top:bottom, left:right])
        image = self.letterbox.get_transform(piece).apply_image(piece)
        return {"image": to_tensor(image), "height": bottom - top, "width": right - left}


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) -> (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
