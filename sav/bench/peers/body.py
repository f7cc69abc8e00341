"""SAV's encoder without its neck."""

from __future__ import annotations

from typing import Any

import torch

from sav.d2 import CfgNode, ShapeSpec
from sav.errors import SAVError
from sav.modeling.encoders import TimmEncoder
from sav.modeling.encoders.timm_encoder import FINEST_STRIDE


class BodyMaps(TimmEncoder):
    """The maps of a light encoder's network from stride 4 on; no neck, no embedding."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        del self.lateral, self.whole, self.neck

    @classmethod
    def of(cls, cfg: CfgNode) -> BodyMaps:
        """The encoder that the config names.

        Raises:
            SAVError: it has a single map.
        """
        if (name := cfg.MODEL.BACKBONE.NAME) != TimmEncoder.__name__:
            raise SAVError(
                f"MODEL.BACKBONE.NAME {name}: a feature pyramid (EXPERIMENT."
                f"PEER {cfg.EXPERIMENT.get('PEER')}) needs the maps of a TimmEncoder"
            )
        return cls(cfg, ShapeSpec(channels=3))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Maps (B, c, S/stride, S/stride) by their stride, of normalised images (B, 3, S, S)."""
        maps = self.body(images.contiguous(memory_format=torch.channels_last))
        named = zip(self._channels, maps, strict=True)
        return {str(stride): value for stride, value in named if stride >= FINEST_STRIDE}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and strides of what :meth:`forward` returns."""
        return {
            str(stride): ShapeSpec(channels=channels, stride=stride)
            for stride, channels in self._channels.items()
            if stride >= FINEST_STRIDE
        }
