"""From photos to what the encoder takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from sav.d2 import CfgNode
from sav.errors import SAVError
from sav.formats.images import LETTERBOX


class Preprocessor(nn.Module):
    """Normalises photos and pads them at the bottom and right to the canvas.

    Args:
        size: canvas side S, a multiple of 16.
        mean: RGB, 0 to 255.
        std: RGB.

    Raises:
        SAVError: another size.
    """

    def __init__(self, *, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if size <= 0 or size % 16:
            raise SAVError(f"INPUT.SAV.SIZE: {size} is not a multiple of 16")
        self.size = size
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Preprocessor:
        """As INPUT.SAV.SIZE, MODEL.PIXEL_MEAN and MODEL.PIXEL_STD say."""
        return cls(size=cfg.INPUT.SAV.SIZE, mean=cfg.MODEL.PIXEL_MEAN, std=cfg.MODEL.PIXEL_STD)

    def forward(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """B images (3, h, w) uint8, the longer side S, to (B, 3, S, S) float.

        Raises:
            SAVError: an image has another size.
        """
        for image in images:
            if image.ndim != 3 or len(image) != 3 or max(image.shape[1:]) != self.size:
                raise SAVError(
                    f"image has shape {tuple(image.shape)}; give (3, h, w) with the longer side "
                    f"{self.size}, the model's INPUT.SAV.SIZE"
                )
        canvas = torch.zeros(len(images), 3, self.size, self.size, device=self.mean.device)
        for slot, image in zip(canvas, images, strict=True):
            image = image.to(self.mean.device, non_blocking=True)  # noqa: PLW2901
            slot[:, : image.shape[1], : image.shape[2]] = (image - self.mean) / self.std
        return canvas

    def fingerprint(self) -> dict[str, Any]:
        """What a gallery made with it depends on."""
        return {
            "image_size": self.size,
            "letterbox": LETTERBOX,
            "pixel_mean": [round(value, 3) for value in self.mean.flatten().tolist()],
            "pixel_std": [round(value, 3) for value in self.std.flatten().tolist()],
        }
