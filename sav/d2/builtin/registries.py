"""Registries of architectures and backbones, and what they build."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from dataclasses import dataclass

import torch
from fvcore.common.registry import Registry
from torch import nn

from sav.d2.builtin.config import CfgNode

META_ARCH_REGISTRY = Registry("META_ARCH")
BACKBONE_REGISTRY = Registry("BACKBONE")


@dataclass
class ShapeSpec:
    """What is known of a feature map before it exists; ``stride`` is relative to the input."""

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    stride: int | None = None


class Backbone(nn.Module, metaclass=ABCMeta):
    """Base of image encoders: (B, 3, H, W) to a dict of named feature maps."""

    @abstractmethod
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the feature maps (B, C, h, w) of images (B, 3, H, W) by name."""

    @abstractmethod
    def output_shape(self) -> dict[str, ShapeSpec]:
        """Return channels and stride of every feature map."""


def build_backbone(cfg: CfgNode, input_shape: ShapeSpec | None = None) -> Backbone:
    """Build the backbone that ``cfg.MODEL.BACKBONE.NAME`` names."""
    if input_shape is None:
        input_shape = ShapeSpec(channels=len(cfg.MODEL.PIXEL_MEAN))
    return BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME)(cfg, input_shape)


def build_model(cfg: CfgNode) -> nn.Module:
    """Build the model that ``cfg.MODEL.META_ARCHITECTURE`` names, on ``cfg.MODEL.DEVICE``.

    Weights are not loaded: that is the checkpointer's work.
    """
    model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    return model.to(torch.device(cfg.MODEL.DEVICE))
