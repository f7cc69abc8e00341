"""Our own implementation of the part of Detectron2's interface that SAV uses.

Same names, signatures and observable behaviour, on top of fvcore, pycocotools, torch and
:mod:`sav.d2.shared`.
"""

from sav.d2.builtin import detection_utils, hooks, transforms
from sav.d2.builtin.catalog import DatasetCatalog, MetadataCatalog
from sav.d2.builtin.checkpoint import DetectionCheckpointer
from sav.d2.builtin.coco import load_coco_json
from sav.d2.builtin.coco_evaluation import COCOEvaluator
from sav.d2.builtin.config import CfgNode, configurable, get_cfg
from sav.d2.builtin.defaults import (
    DefaultTrainer,
    default_argument_parser,
    default_setup,
    default_writers,
)
from sav.d2.builtin.evaluation import (
    DatasetEvaluator,
    DatasetEvaluators,
    inference_on_dataset,
    print_csv_format,
    verify_results,
)
from sav.d2.builtin.events import (
    CommonMetricPrinter,
    EventStorage,
    EventWriter,
    JSONWriter,
    TensorboardXWriter,
    get_event_storage,
)
from sav.d2.builtin.loaders import build_detection_test_loader, build_detection_train_loader
from sav.d2.builtin.logger import setup_logger
from sav.d2.builtin.masks import BitMasks, PolygonMasks
from sav.d2.builtin.registries import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    Backbone,
    Registry,
    ShapeSpec,
    build_backbone,
    build_model,
)
from sav.d2.builtin.solver import (
    LRMultiplier,
    build_lr_scheduler,
    build_optimizer,
    get_default_optimizer_params,
    maybe_add_gradient_clipping,
)
from sav.d2.builtin.structures import Boxes, BoxMode, ImageList, Instances
from sav.d2.builtin.train_loop import HookBase, SimpleTrainer
from sav.d2.shared import comm
from sav.d2.shared.launch import launch
from sav.d2.shared.samplers import InferenceSampler, TrainingSampler
from sav.drawing.visualizer import ColorMode, Visualizer

__all__ = [
    "BACKBONE_REGISTRY",
    "META_ARCH_REGISTRY",
    "Backbone",
    "BitMasks",
    "BoxMode",
    "Boxes",
    "COCOEvaluator",
    "CfgNode",
    "ColorMode",
    "CommonMetricPrinter",
    "DatasetCatalog",
    "DatasetEvaluator",
    "DatasetEvaluators",
    "DefaultTrainer",
    "DetectionCheckpointer",
    "EventStorage",
    "EventWriter",
    "HookBase",
    "ImageList",
    "InferenceSampler",
    "Instances",
    "JSONWriter",
    "LRMultiplier",
    "MetadataCatalog",
    "PolygonMasks",
    "Registry",
    "ShapeSpec",
    "SimpleTrainer",
    "TensorboardXWriter",
    "TrainingSampler",
    "Visualizer",
    "build_backbone",
    "build_detection_test_loader",
    "build_detection_train_loader",
    "build_lr_scheduler",
    "build_model",
    "build_optimizer",
    "comm",
    "configurable",
    "default_argument_parser",
    "default_setup",
    "default_writers",
    "detection_utils",
    "get_cfg",
    "get_default_optimizer_params",
    "get_event_storage",
    "hooks",
    "inference_on_dataset",
    "launch",
    "load_coco_json",
    "maybe_add_gradient_clipping",
    "print_csv_format",
    "setup_logger",
    "transforms",
    "verify_results",
]
