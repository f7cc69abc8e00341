"""Any timm network as an image encoder, with a small neck."""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from sav.d2 import BACKBONE_REGISTRY, Backbone, CfgNode, ShapeSpec, configurable
from sav.errors import SAVError
from sav.modeling.embedding import EMBEDDING, EMBEDDING_DIM
from sav.modeling.encoders.depthwise import speed_up_depthwise
from sav.modeling.encoders.pretrained import load_body
from sav.modeling.encoders.timm_body import (
    build_whole,
    freeze_stages,
    layer_groups,
    original_names,
)

FINEST_STRIDE = 4


@BACKBONE_REGISTRY.register()
class TimmEncoder(Backbone):
    """Any timm network with feature maps at strides 4, 8 and 16, and a small neck.

    Args:
        name: timm model name.
        options: further arguments of ``timm.create_model``, such as widths.
        body: the network as a feature extractor, see
            :func:`~sav.modeling.encoders.pretrained.load_body`.
        stride: of the embedding, 16 or 8. At 8 the decoder looks at four times as many positions.
        freeze_at: how many of the body's stages learn nothing; the stem is the first.
        norm_eval: whether the body's batch norms use their running statistics in training, too,
            and leave them as they are.
    """

    @configurable
    def __init__(
        self,
        *,
        name: str,
        options: dict[str, Any],
        body: nn.Module,
        stride: int,
        freeze_at: int,
        norm_eval: bool,
    ) -> None:
        super().__init__()
        if stride not in (8, 16):
            raise SAVError(f"MODEL.TIMM.STRIDE: {stride} is neither 16 nor 8")
        self.body = body
        self._name, self._options = name, options
        self.norm_eval = norm_eval
        speed_up_depthwise(body)
        if freeze_at:
            freeze_stages(body, build_whole(name, options), freeze_at)
        self.stride = stride
        self._channels = dict(
            zip(self.body.feature_info.reduction(), self.body.feature_info.channels(), strict=True)
        )
        if not {4, 8, 16} <= self._channels.keys():
            raise SAVError(f"MODEL.TIMM.NAME: '{name}' has no feature maps at strides 4, 8 and 16")
        deep = [s for s in self._channels if s >= stride]
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
        timm = cfg.MODEL.TIMM
        return {
            "name": timm.NAME,
            "options": dict(timm.OPTIONS),
            "body": load_body(cfg),
            "stride": timm.STRIDE,
            "freeze_at": timm.FREEZE_AT,
            "norm_eval": timm.NORM_EVAL,
        }

    def train(self, mode: bool = True) -> TimmEncoder:
        """Switch to training or prediction; batch norms that are fixed always predict."""
        super().train(mode)
        if self.norm_eval:
            for module in self.body.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Encode normalised images.

        Args:
            images: (B, 3, S, S) float.

        Returns:
            "embedding" (B, 256, S/stride, S/stride), and the body's finer maps for the decoder:
            "skip8" (at stride 16) and "skip4".
        """
        images = images.contiguous(memory_format=torch.channels_last)
        features = dict(zip(self._channels, self.body(images), strict=True))
        merged = self.lateral[str(self.stride)](features[self.stride])
        for stride, layer in self.lateral.items():
            if int(stride) > self.stride:
                deep = layer(features[int(stride)])
                merged = merged + F.interpolate(
                    deep, size=merged.shape[-2:], mode="bilinear", align_corners=False
                )
        merged = merged + self.whole(features[max(features)].mean((2, 3), keepdim=True))
        skips = {f"skip{s}": features[s] for s in features if FINEST_STRIDE <= s < self.stride}
        return {EMBEDDING: self.neck(merged), **skips}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and strides of what :meth:`forward` returns."""
        skips = {
            f"skip{stride}": ShapeSpec(channels=channels, stride=stride)
            for stride, channels in self._channels.items()
            if FINEST_STRIDE <= stride < self.stride
        }
        return {EMBEDDING: ShapeSpec(channels=EMBEDDING_DIM, stride=self.stride), **skips}

    def layers_above(self) -> dict[str, int]:
        """How many layers, by timm's own grouping, lie above each of the body's parameters.

        Raises:
            SAVError: timm does not say which layers the network has.
        """
        whole = build_whole(self._name, self._options)
        groups = layer_groups(whole, coarse=False, key="SOLVER.LAYER_DECAY")
        top = max(groups.values())  # the classifier, in whose place our neck is
        names = original_names(self.body, whole)
        return {f"body.{n}": top - groups[names[n]] for n, _ in self.body.named_parameters()}
