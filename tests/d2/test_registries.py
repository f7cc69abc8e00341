import pytest
import torch
from torch import nn

from sav.d2 import BACKBONE_REGISTRY, Backbone, ShapeSpec, build_backbone, get_cfg


@BACKBONE_REGISTRY.register()
class HalvingBackbone(Backbone):
    def __init__(self, cfg, input_shape):
        super().__init__()
        self.conv = nn.Conv2d(input_shape.channels, cfg.MODEL.WIDTH, 2, stride=2)

    def forward(self, x):
        return {"half": self.conv(x)}

    def output_shape(self):
        return {"half": ShapeSpec(channels=self.conv.out_channels, stride=2)}


def test_backbone_is_built_by_name():
    cfg = get_cfg()
    cfg.MODEL.WIDTH = 5
    cfg.MODEL.BACKBONE.NAME = "HalvingBackbone"
    backbone = build_backbone(cfg)
    assert backbone(torch.zeros(1, 3, 4, 6))["half"].shape == (1, 5, 2, 3)
    shape = backbone.output_shape()["half"]
    assert (shape.channels, shape.stride, shape.height) == (5, 2, None)
    assert build_backbone(cfg, ShapeSpec(channels=1))(torch.zeros(1, 1, 2, 2))["half"].numel() == 5
    cfg.MODEL.BACKBONE.NAME = "NoBackbone"
    with pytest.raises(KeyError, match="NoBackbone"):
        build_backbone(cfg)


def test_names_are_registered_once():
    assert BACKBONE_REGISTRY.get("HalvingBackbone") is HalvingBackbone
    with pytest.raises(AssertionError, match="HalvingBackbone"):
        BACKBONE_REGISTRY.register(HalvingBackbone)
