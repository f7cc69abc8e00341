"""Depthwise convolutions that learn in single precision on a CPU."""

from __future__ import annotations

import torch
from timm.layers import Conv2dSame
from torch import nn


class _Float32InTraining:
    """Leaves autocast where a CPU computes gradients."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


class DepthwiseConv2d(_Float32InTraining, nn.Conv2d):
    """torch's."""


class DepthwiseConv2dSame(_Float32InTraining, Conv2dSame):
    """timm's, which pads as TensorFlow does."""


_KINDS = {nn.Conv2d: DepthwiseConv2d, Conv2dSame: DepthwiseConv2dSame}


def speed_up_depthwise(body: nn.Module) -> None:
    """Make depthwise convolutions compute in float32 where a CPU trains them under autocast.

    In half precision the gradient of their kernels takes a CPU two to six times as long as in
    float32, half of the whole step of an EfficientNet (torch 2.14, oneDNN). Weights and names stay.
    """
    for module in body.modules():
        if type(module) in _KINDS and module.groups == module.in_channels > 1:
            module.__class__ = _KINDS[type(module)]
