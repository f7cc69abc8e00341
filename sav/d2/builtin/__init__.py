"""Our own implementation of the part of Detectron2's interface that SAV uses.

Same names, signatures and observable behaviour, on top of fvcore, pycocotools, torch and
:mod:`sav.d2.shared`.
"""

from sav.d2.builtin import hooks, transforms
from sav.d2.builtin.catalog import DatasetCatalog, MetadataCatalog
from sav.d2.builtin.config import CfgNode, configurable, dump_config, get_cfg
from sav.d2.builtin.defaults import DefaultTrainer, default_setup
from sav.d2.builtin.evaluation import DatasetEvaluator, DatasetEvaluators, inference_on_dataset
from sav.d2.builtin.events import (
    EventStorage,
    EventWriter,
    JSONWriter,
    TensorboardXWriter,
    get_event_storage,
)
from sav.d2.builtin.loaders import build_detection_test_loader, build_detection_train_loader
from sav.d2.builtin.logger import setup_logger
from sav.d2.builtin.registries import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    Backbone,
    ShapeSpec,
    build_backbone,
    build_model,
)
from sav.d2.builtin.solver import (
    LRMultiplier,
    build_lr_scheduler,
    get_default_optimizer_params,
    maybe_add_gradient_clipping,
)
from sav.d2.builtin.structures import BitMasks, Boxes, Instances
from sav.d2.builtin.train_loop import HookBase, SimpleTrainer
from sav.d2.shared import comm
from sav.d2.shared.launch import launch

__all__ = [
    "BACKBONE_REGISTRY",
    "META_ARCH_REGISTRY",
    "Backbone",
    "BitMasks",
    "Boxes",
    "CfgNode",
    "DatasetCatalog",
    "DatasetEvaluator",
    "DatasetEvaluators",
    "DefaultTrainer",
    "EventStorage",
    "EventWriter",
    "HookBase",
    "Instances",
    "JSONWriter",
    "LRMultiplier",
    "MetadataCatalog",
    "ShapeSpec",
    "SimpleTrainer",
    "TensorboardXWriter",
    "build_backbone",
    "build_detection_test_loader",
    "build_detection_train_loader",
    "build_lr_scheduler",
    "build_model",
    "comm",
    "configurable",
    "default_setup",
    "dump_config",
    "get_cfg",
    "get_default_optimizer_params",
    "get_event_storage",
    "hooks",
    "inference_on_dataset",
    "launch",
    "maybe_add_gradient_clipping",
    "setup_logger",
    "transforms",
]
