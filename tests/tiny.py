"""The smallest model that has every component."""

from sav.config import add_sav_config
from sav.d2 import CfgNode, get_cfg

SIZE = 64


def tiny_config() -> CfgNode:
    cfg = get_cfg()
    add_sav_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.TIMM.OPTIONS.channels = (8, 8, 16, 16)
    cfg.INPUT.SAV.SIZE = SIZE
    cfg.MODEL.SAV.DECODER.MLP_DIM = 32
    cfg.MODEL.SAV.LOSS.POINTS = 64
    cfg.MODEL.SAV.CONTEXT.SHARE = 1.0  # the few photos of a test all count
    cfg.MODEL.SAV.CONTEXT.THINNING = 1
    return cfg
