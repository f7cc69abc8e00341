"""Feature pyramids: what a light encoder's maps say together, at stride 4."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from sav.d2 import ShapeSpec

PYRAMID_WIDTH = 128
_GROUPS = 16


def feature_pyramid(shapes: Mapping[str, ShapeSpec]) -> FeaturePyramidNetwork:
    """The FPN of torchvision: lateral 1 x 1, sum from top to bottom, a 3 x 3 at every level.

    Args:
        shapes: of the maps, the finest first; the FPN takes and returns maps of these names.
    """
    channels = [shape.channels for shape in shapes.values()]
    norm = partial(nn.GroupNorm, _GROUPS)
    pyramid = FeaturePyramidNetwork(channels, PYRAMID_WIDTH, norm_layer=norm)
    return pyramid.to(memory_format=torch.channels_last)


def add_levels(levels: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """A pyramid's levels, the finest first, added up (Semantic FPN, arXiv 1901.02446).

    Returns:
        (B, 128, h, w) at the finest one's resolution, not below 0.
    """
    finest, *others = levels.values()
    for level in others:
        finest = finest + F.interpolate(
            level, size=finest.shape[-2:], mode="bilinear", align_corners=False
        )
    return finest.relu()


class FinePyramid(nn.Module):
    """A feature pyramid on the attended embedding and the encoder's finer maps.

    Pretrained encoders' maps are not normalised: at ten times the others' size they would drown
    what the embedding says. So each is normalised first, as a whole.

    Args:
        shapes: of the maps by name, in any order.
    """

    def __init__(self, shapes: Mapping[str, ShapeSpec]) -> None:
        super().__init__()
        self._names = sorted(shapes, key=lambda name: shapes[name].stride)
        self.norms = nn.ModuleDict(
            {name: nn.GroupNorm(1, shapes[name].channels) for name in self._names}
        )
        self.levels = feature_pyramid({name: shapes[name] for name in self._names})

    def forward(self, maps: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Features (B, 128, h, w) at the finest map's stride, of maps by name."""
        named = {
            name: self.norms[name](maps[name]).contiguous(memory_format=torch.channels_last)
            for name in self._names
        }
        return add_levels(self.levels(named)) / len(named)  # their mean keeps products small
