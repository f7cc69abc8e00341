"""Image encoders behind one interface, see :mod:`sav.modeling.embedding`."""

from sav.d2 import Backbone, CfgNode, build_backbone
from sav.modeling.encoders.sam_encoder import SAMEncoder
from sav.modeling.encoders.timm_encoder import TimmEncoder

__all__ = ["SAMEncoder", "TimmEncoder", "build_encoder"]


def build_encoder(cfg: CfgNode) -> Backbone:
    """Build the encoder that MODEL.BACKBONE.NAME names."""
    return build_backbone(cfg)
