"""Which part is where: a map of logits whose classifiers the knowledge graph describes."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class PartMap(nn.Module):
    """Logits of background and of every class at each place of a feature map.

    A class's classifier is a linear function of what its node says of itself, so what training
    learns of "right", "back" and "door" from other parts adds up for a part that it never saw.
    Classifiers that are learned for each class alone, or by a deeper network, do not do that.

    Args:
        channels: of the feature map.
        features: (C, F) float, what the nodes say; one-hot where nothing is known of them.
    """

    def __init__(self, channels: int, features: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features, persistent=False)
        self.background = nn.Conv2d(channels, 1, 1)
        self.describe = nn.Linear(features.shape[1], channels + 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, channels, h, w) to (B, 1 + C, h, w), background first."""
        described = self.describe(self.features)
        parts = F.conv2d(maps, described[:, :-1, None, None], described[:, -1])
        return torch.cat([self.background(maps), parts], dim=1)
