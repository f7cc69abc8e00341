"""Config nodes that are merged with care, and the keys that both engines know."""

from __future__ import annotations

import contextlib
from typing import Any

from fvcore.common.config import CfgNode

DEFAULTS: dict[str, Any] = {
    "VERSION": 2,
    "MODEL": {
        "META_ARCHITECTURE": "GeneralizedRCNN",
        "DEVICE": "cuda",
        "WEIGHTS": "",
        "PIXEL_MEAN": [103.53, 116.28, 123.675],
        "PIXEL_STD": [1.0, 1.0, 1.0],
        "BACKBONE": {"NAME": "build_resnet_backbone"},
    },
    "INPUT": {},
    "DATASETS": {"TRAIN": (), "TEST": ()},
    "DATALOADER": {"NUM_WORKERS": 4, "ASPECT_RATIO_GROUPING": True},
    "SOLVER": {
        "LR_SCHEDULER_NAME": "WarmupMultiStepLR",
        "MAX_ITER": 40000,
        "BASE_LR": 0.001,
        "BASE_LR_END": 0.0,
        "WEIGHT_DECAY": 0.0001,
        "WEIGHT_DECAY_NORM": 0.0,
        "WEIGHT_DECAY_BIAS": None,
        "BIAS_LR_FACTOR": 1.0,
        "GAMMA": 0.1,
        "STEPS": (30000,),
        "WARMUP_FACTOR": 0.001,
        "WARMUP_ITERS": 1000,
        "WARMUP_METHOD": "linear",
        "CHECKPOINT_PERIOD": 5000,
        "IMS_PER_BATCH": 16,
        "REFERENCE_WORLD_SIZE": 0,
        "CLIP_GRADIENTS": {
            "ENABLED": False,
            "CLIP_TYPE": "value",
            "CLIP_VALUE": 1.0,
            "NORM_TYPE": 2.0,
        },
        "AMP": {"ENABLED": False},
    },
    "TEST": {
        "EVAL_PERIOD": 0,
        # Only ENABLED and FLIP are read: SAV has one canvas.
        "AUG": {
            "ENABLED": False,
            "MIN_SIZES": (400, 500, 600, 700, 800, 900, 1000, 1100, 1200),
            "MAX_SIZE": 4000,
            "FLIP": True,
        },
    },
    "OUTPUT_DIR": "./output",
    "SEED": -1,
    "CUDNN_BENCHMARK": False,
    "FLOAT32_PRECISION": "",
}
"""Detectron2's keys that SAV reads, with Detectron2's values; SAV adds its own to them."""


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
