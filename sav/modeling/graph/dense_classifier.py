"""A dense classifier whose weights are made from the knowledge graph."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from sav.modeling.sam.decoder import NEVER


class DenseClassifier(nn.Module):
    """Logits of the background and of every class at each place of a feature map.

    The weights of a class are a linear function of its node's features. So what training learns
    about "right", "back" and "door" from other parts adds up for a part that was never supervised.
    Weights that are learned for each class alone, or by a deeper network, do not do that.

    Args:
        channels: of the feature map.
        features: (C, F) float of the nodes; one-hot without a graph.
    """

    def __init__(self, channels: int, features: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features, persistent=False)
        self.background = nn.Conv2d(channels, 1, 1)
        self.to_weights = nn.Linear(features.shape[1], channels + 1)

    @property
    def class_axes(self) -> dict[str, int]:
        """Parameters with an axis of classes: one-hot features make such of the linear layer."""
        one_hot = torch.equal(self.features, torch.eye(len(self.features)).to(self.features))
        return {"to_weights.weight": 1} if one_hot else {}

    def forward(self, maps: torch.Tensor, named: torch.Tensor | None = None) -> torch.Tensor:
        """Classify each place.

        Args:
            maps: (B, channels, h, w).
            named: (B, C) bool, the classes that can be named in each photo; None for all.

        Returns:
            (B, 1 + C, h, w) logits, background first.
        """
        weights = self.to_weights(self.features)
        parts = F.conv2d(maps, weights[:, :-1, None, None], weights[:, -1])
        logits = torch.cat([self.background(maps), parts], dim=1)
        if named is None:
            return logits
        return logits.masked_fill(~F.pad(named, (1, 0), value=True)[..., None, None], NEVER)
