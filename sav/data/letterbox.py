"""The letterbox: how every photo, and every mask, comes to the model's canvas.

Galleries, evaluation and prediction see the same pixels through it. Shrunk in another way, a photo
would not even be its own nearest neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sav.d2 import transforms as T


@dataclass(eq=False)
class LetterboxTransform(T.Transform):
    """A change of size, at the top left corner of the canvas.

    The rest of the canvas is left to the model, which fills it after it has normalised the photo.
    ``sav.formats.images.LETTERBOX`` names what is done here: a change of pixels needs a new name.

    Attributes:
        original: height and width of the photo in pixels.
        resized: its height and width on the canvas (SAM's ``input_size``).
    """

    original: tuple[int, int]
    resized: tuple[int, int]

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Resize (H, W, 3) uint8 to (h, w, 3), area-averaged where it shrinks, else bilinear."""
        # Averaging over the area keeps thin parts from flickering in and out of the sampling grid.
        shrinks = max(self.resized) < max(self.original)
        return self._resize(img, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Resize (H, W) labels, uint8, to (h, w) by what lies at the middle of each new pixel.

        Labels have no averages. A majority of the area would erase what is thinner than half a
        pixel; of that, nearest neighbours keep the right share, as they do in training.
        """
        if segmentation.flags.f_contiguous:
            # Decoded run-length codes lie column by column; OpenCV would copy them to rows first.
            turned = LetterboxTransform(self.original[::-1], self.resized[::-1])
            return turned._resize(segmentation.T, cv2.INTER_NEAREST_EXACT).T
        return self._resize(segmentation, cv2.INTER_NEAREST_EXACT)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Move (N, 2) continuous x, y."""
        (height, width), (new_height, new_width) = self.original, self.resized
        return coords * (new_width / width, new_height / height)

    def _resize(self, img: np.ndarray, interpolation: int) -> np.ndarray:
        if self.resized == self.original:
            return img
        return cv2.resize(img, self.resized[::-1], interpolation=interpolation)


@dataclass(eq=False)
class Letterbox(T.Augmentation):
    """Scales the long side to that of the canvas; nothing is random.

    Attributes:
        size: canvas side S in pixels.
    """

    size: int

    def get_transform(self, image: np.ndarray) -> LetterboxTransform:
        """The transform for an image (H, W, 3); its sides on the canvas are rounded to pixels."""
        height, width = image.shape[:2]
        scale = self.size / max(height, width)
        resized = max(1, round(height * scale)), max(1, round(width * scale))
        return LetterboxTransform((height, width), resized)
