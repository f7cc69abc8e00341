"""Image encoders. All of them give an embedding of 256 channels at stride 16."""

from __future__ import annotations

from typing import Any

import timm
import torch
from segment_anything.modeling import Sam
from segment_anything.modeling.common import LayerNorm2d
from torch import nn
from torch.nn import functional as F

from sav.d2 import BACKBONE_REGISTRY, Backbone, CfgNode, ShapeSpec, configurable
from sav.errors import SAVError
from sav.modeling.sam import load_sam, resize_position_embedding

EMBEDDING = "embedding"
EMBEDDING_DIM = 256
STRIDE = 16


@BACKBONE_REGISTRY.register()
class TimmEncoder(Backbone):
    """Any timm network with feature maps at strides 4, 8 and 16, and a small neck.

    Args:
        name: timm model name.
        pretrained: whether timm downloads weights.
        options: further arguments of ``timm.create_model``, such as widths.
    """

    @configurable
    def __init__(self, *, name: str, pretrained: bool, options: dict[str, Any]) -> None:
        super().__init__()
        try:
            self.body = timm.create_model(
                name, pretrained=pretrained, features_only=True, **options
            )
        except (RuntimeError, TypeError) as error:
            raise SAVError(f"MODEL.TIMM: timm cannot build '{name}': {error}") from error
        self._channels = dict(
            zip(self.body.feature_info.reduction(), self.body.feature_info.channels(), strict=True)
        )
        if not {4, 8, STRIDE} <= self._channels.keys():
            raise SAVError(f"MODEL.TIMM.NAME: '{name}' has no feature maps at strides 4, 8 and 16")
        deep = [stride for stride in self._channels if stride >= STRIDE]
        self.lateral = nn.ModuleDict(
            {str(s): nn.Conv2d(self._channels[s], EMBEDDING_DIM, 1) for s in deep}
        )
        # Which side of the vehicle is seen is a property of the whole photo.
        self.whole = nn.Conv2d(self._channels[max(deep)], EMBEDDING_DIM, 1)
        self.neck = nn.Sequential(
            LayerNorm2d(EMBEDDING_DIM),
            nn.Conv2d(EMBEDDING_DIM, EMBEDDING_DIM, 3, padding=1, groups=EMBEDDING_DIM),
            nn.Conv2d(EMBEDDING_DIM, EMBEDDING_DIM, 1),
            LayerNorm2d(EMBEDDING_DIM),
        )
        self.to(memory_format=torch.channels_last)  # a quarter faster on a CPU

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        """Read MODEL.TIMM."""
        return {
            "name": cfg.MODEL.TIMM.NAME,
            "pretrained": cfg.MODEL.TIMM.PRETRAINED,
            "options": dict(cfg.MODEL.TIMM.OPTIONS),
        }

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Encode normalised images.

        Args:
            images: (B, 3, S, S) float.

        Returns:
            "embedding" (B, 256, S/16, S/16), and the body's finer maps for the decoder: "skip8",
            "skip4" and, where the network has one, "skip2".
        """
        images = images.contiguous(memory_format=torch.channels_last)
        features = dict(zip(self._channels, self.body(images), strict=True))
        merged = self.lateral[str(STRIDE)](features[STRIDE])
        for stride, layer in self.lateral.items():
            if int(stride) > STRIDE:
                deep = layer(features[int(stride)])
                merged = merged + F.interpolate(
                    deep, size=merged.shape[-2:], mode="bilinear", align_corners=False
                )
        merged = merged + self.whole(features[max(features)].mean((2, 3), keepdim=True))
        skips = {f"skip{stride}": features[stride] for stride in features if stride < STRIDE}
        return {EMBEDDING: self.neck(merged), **skips}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and strides of what :meth:`forward` returns."""
        skips = {
            f"skip{stride}": ShapeSpec(channels=channels, stride=stride)
            for stride, channels in self._channels.items()
            if stride < STRIDE
        }
        return {EMBEDDING: ShapeSpec(channels=EMBEDDING_DIM, stride=STRIDE), **skips}


@BACKBONE_REGISTRY.register()
class SAMEncoder(Backbone):
    """Segment Anything's ViT image encoder (arXiv 2304.02643).

    Args:
        sam: a SAM, whose image encoder is taken.
        image_size: canvas side S; positional embeddings are resized to it.
        frozen: whether its weights stay as they are.
    """

    @configurable
    def __init__(self, *, sam: Sam, image_size: int, frozen: bool) -> None:
        super().__init__()
        self.body = sam.image_encoder
        resize_position_embedding(self.body, image_size)
        self.frozen = frozen
        if frozen:
            self.requires_grad_(False)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        """Read MODEL.SAM."""
        return {
            "sam": load_sam(cfg.MODEL.SAM.TYPE, cfg.MODEL.SAM.CHECKPOINT),
            "image_size": cfg.INPUT.SAV.SIZE,
            "frozen": cfg.MODEL.SAM.FROZEN,
        }

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Args: images (B, 3, S, S). Returns: "embedding" (B, 256, S/16, S/16)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return {EMBEDDING: self.body(images)}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and strides of what :meth:`forward` returns."""
        return {EMBEDDING: ShapeSpec(channels=EMBEDDING_DIM, stride=STRIDE)}
