"""Any timm network as an image encoder, with a small neck."""

from __future__ import annotations

from typing import Any

import timm
import torch
from segment_anything.modeling.common import LayerNorm2d
from timm.models import group_parameters
from torch import nn
from torch.nn import functional as F

from sav.d2 import BACKBONE_REGISTRY, Backbone, CfgNode, ShapeSpec, configurable
from sav.errors import SAVError
from sav.modeling.embedding import EMBEDDING, EMBEDDING_DIM


@BACKBONE_REGISTRY.register()
class TimmEncoder(Backbone):
    """Any timm network with feature maps at strides 4, 8 and 16, and a small neck.

    Args:
        name: timm model name.
        pretrained: whether timm downloads weights.
        options: further arguments of ``timm.create_model``, such as widths.
        stride: of the embedding, 16 or 8. At 8 the decoder looks at four times as many positions,
            and its finer maps start from them.
    """

    @configurable
    def __init__(
        self, *, name: str, pretrained: bool, options: dict[str, Any], stride: int
    ) -> None:
        super().__init__()
        if stride not in (8, 16):
            raise SAVError(f"MODEL.TIMM.STRIDE: {stride} is neither 16 nor 8")
        try:
            self.body = timm.create_model(
                name, pretrained=pretrained, features_only=True, **options
            )
        except (RuntimeError, TypeError) as error:
            raise SAVError(f"MODEL.TIMM: timm cannot build '{name}': {error}") from error
        self._name, self._options = name, options
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
        return {
            "name": cfg.MODEL.TIMM.NAME,
            "pretrained": cfg.MODEL.TIMM.PRETRAINED,
            "options": dict(cfg.MODEL.TIMM.OPTIONS),
            "stride": cfg.MODEL.TIMM.STRIDE,
        }

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Encode normalised images.

        Args:
            images: (B, 3, S, S) float.

        Returns:
            "embedding" (B, 256, S/stride, S/stride), and the body's finer maps for the decoder:
            "skip8" (at stride 16), "skip4" and, where the network has one, "skip2".
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
        skips = {f"skip{s}": features[s] for s in features if s < self.stride}
        return {EMBEDDING: self.neck(merged), **skips}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and strides of what :meth:`forward` returns."""
        skips = {
            f"skip{stride}": ShapeSpec(channels=channels, stride=stride)
            for stride, channels in self._channels.items()
            if stride < self.stride
        }
        return {EMBEDDING: ShapeSpec(channels=EMBEDDING_DIM, stride=self.stride), **skips}

    def layers_above(self) -> dict[str, int]:
        """How many layers, by timm's own grouping, lie above each of the body's parameters.

        Raises:
            SAVError: timm does not say which layers the network has.
        """
        with torch.device("meta"):
            whole = timm.create_model(self._name, **self._options)
        if not hasattr(whole, "group_matcher"):
            raise SAVError(f"SOLVER.LAYER_DECAY: timm does not group the layers of {self._name}")
        groups = group_parameters(whole, whole.group_matcher(coarse=False), reverse=True)
        top = max(groups.values())  # the classifier, in whose place our neck is
        # As a feature extractor the network is flattened: stages.0 is called stages_0.
        above = {name.replace(".", "_"): top - layer for name, layer in groups.items()}
        names = [name for name, _ in self.body.named_parameters()]
        return {f"body.{n}": above[n.removeprefix("model.").replace(".", "_")] for n in names}
