"""Config nodes that are merged with care."""

from __future__ import annotations

import contextlib
from typing import Any

from fvcore.common.config import CfgNode


class CarefulMerge:
    """Mix-in of a config node, for merging.

    - An int is read where a float is declared (``BASE_LR 1``).
    - A frozen node refuses, as it refuses any other change.
    """

    def merge_from_other_cfg(self, cfg_other: CfgNode) -> None:
        """Merge another node into this one.

        Args:
            cfg_other: node whose keys must all exist here, or be allowed as new; it is not changed.
        """
        if self.is_frozen():
            raise AttributeError("the config is frozen; merge before freeze(), or call defrost()")
        cfg_other = cfg_other.clone()
        _make_floats(cfg_other, self)
        super().merge_from_other_cfg(cfg_other)

    def merge_from_list(self, cfg_list: list[Any]) -> None:
        """Merge ``KEY VALUE ...`` pairs, as a file with the same keys and values is merged.

        Args:
            cfg_list: alternating full keys and values, as they come from the command line.
        """
        if len(cfg_list) % 2:
            raise ValueError(f"config overrides are KEY VALUE pairs; {cfg_list[-1]} has no value")
        tree = type(self)()
        for full_key, value in zip(cfg_list[::2], cfg_list[1::2], strict=True):
            *parents, key = full_key.split(".")
            node = tree
            for parent in parents:
                node = node.setdefault(parent, type(self)())
            node[key] = value
        self.merge_from_other_cfg(tree)


def _make_floats(node: CfgNode, reference: CfgNode) -> None:
    """Turn ints, also those in text, into floats where the reference has one."""
    for key, value in node.items():
        wanted = reference.get(key)
        if isinstance(value, CfgNode) and isinstance(wanted, CfgNode):
            _make_floats(value, wanted)
        elif isinstance(wanted, float) and type(value) in (int, str):
            # What is no number is left to the type check.
            with contextlib.suppress(ValueError):
                node[key] = float(value)
