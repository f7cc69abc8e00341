"""What a camera does to a picture: exposure, colour cast, blur and noise."""

from __future__ import annotations

import cv2
import numpy as np


def develop(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Random exposure, gamma, white balance, blur and sensor noise.

    Args:
        rng: source of all randomness.
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    gamma, gain = rng.uniform(0.8, 1.25), rng.uniform(0.9, 1.2)
    level = (np.arange(256) / 255) ** gamma * gain
    table = level[:, None] * rng.uniform(0.95, 1.05, 3)
    table = np.clip(table * 255, 0, 255).astype(np.uint8)[None]
    image = cv2.LUT(image, table)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.1))
    elif rng.random() < 0.06:
        length = int(rng.integers(3, 6))
        image = cv2.blur(image, (length, 1))
    sigma = rng.choice((0.0, 2.0, 4.0, 8.0), p=(0.3, 0.35, 0.25, 0.1))
    if sigma > 0:
        grain = rng.integers(0, 256, image.shape, np.uint8).astype(np.int16)
        grain += np.roll(grain, 7, axis=1)  # two uniform draws: a triangle is near enough to a bell
        noise = (grain - 255) * np.float32(sigma / 104)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image
