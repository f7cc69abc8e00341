"""Detectron2's config, which also takes an int where it declares a float, and stays frozen."""

from __future__ import annotations

from detectron2.config import CfgNode as _CfgNode
from detectron2.config import get_cfg as _get_cfg

from sav.d2.shared.config import CarefulMerge


class CfgNode(CarefulMerge, _CfgNode):
    """Detectron2's config node, merged with care."""


def get_cfg() -> CfgNode:
    """Return a fresh copy of Detectron2's default config."""
    return CfgNode(_get_cfg())
