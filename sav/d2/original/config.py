"""Detectron2's config, which also takes an int where it declares a float, and stays frozen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode as _CfgNode
from detectron2.config import get_cfg as _get_cfg
from detectron2.engine import default_setup as _default_setup
from detectron2.utils import comm

from sav.d2.shared.config import DEFAULTS, CarefulMerge


class CfgNode(CarefulMerge, _CfgNode):
    """Detectron2's config node, merged with care; a config file cannot run code."""

    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = False) -> None:
        """Merge a YAML file; Python tags are refused, whatever the caller allows."""
        super().merge_from_file(cfg_filename, allow_unsafe=False)


def get_cfg() -> CfgNode:
    """Return a fresh copy of Detectron2's default config."""
    return CfgNode(_get_cfg())


def default_setup(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Set up as Detectron2 does, and keep a config with the run that both engines can read."""
    _default_setup(cfg, args)
    if comm.is_main_process() and cfg.OUTPUT_DIR:
        (Path(cfg.OUTPUT_DIR) / "config.yaml").write_text(dump_config(cfg), encoding="utf-8")


def dump_config(cfg: CfgNode) -> str:
    """A run's config as YAML, which both engines can read."""
    return _without_foreign_defaults(cfg, _get_cfg(), DEFAULTS).dump()


def _without_foreign_defaults(cfg: CfgNode, own: CfgNode, common: dict[str, Any]) -> CfgNode:
    """Leave out the keys that only Detectron2 knows and that have their default value."""
    kept = CfgNode()
    for key, value in cfg.items():
        if key in own and key not in common and value == own[key]:
            continue
        nested = isinstance(value, _CfgNode) and key in own and key in common
        kept[key] = _without_foreign_defaults(value, own[key], common[key]) if nested else value
    return kept
