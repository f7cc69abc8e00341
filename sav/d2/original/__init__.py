"""The installed Detectron2, with what we mend of it.

Names are Detectron2's own, or thin subclasses of them in this folder, or those of
:mod:`sav.d2.shared`, which the built-in engine stands on too. Of that engine only its default
config is known here: a run's ``config.yaml`` holds no more keys than it can read.
"""

from functools import partial

from detectron2.config import configurable
from detectron2.data import DatasetCatalog, MetadataCatalog, transforms
from detectron2.data.datasets import load_coco_json
from detectron2.data.samplers import InferenceSampler
from detectron2.engine import HookBase, SimpleTrainer, default_argument_parser, hooks
from detectron2.evaluation import (
    DatasetEvaluator,
    DatasetEvaluators,
    inference_on_dataset,
    print_csv_format,
    verify_results,
)
from detectron2.layers import ShapeSpec
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    Backbone,
    build_backbone,
    build_model,
)
from detectron2.solver import (
    LRMultiplier,
    build_lr_scheduler,
    build_optimizer,
    get_default_optimizer_params,
)
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.structures import BitMasks, Boxes, BoxMode, ImageList, Instances, PolygonMasks
from detectron2.utils import comm
from detectron2.utils.events import (
    CommonMetricPrinter,
    EventStorage,
    EventWriter,
    TensorboardXWriter,
    get_event_storage,
)
from detectron2.utils.logger import setup_logger
from detectron2.utils.registry import Registry

from sav.d2.original import detection_utils
from sav.d2.original.config import CfgNode, get_cfg
from sav.d2.original.evaluation import COCOEvaluator
from sav.d2.original.loaders import build_detection_test_loader, build_detection_train_loader
from sav.d2.original.training import (
    DefaultTrainer,
    DetectionCheckpointer,
    JSONWriter,
    default_setup,
    default_writers,
)
from sav.d2.shared.launch import launch as _launch
from sav.d2.shared.samplers import TrainingSampler
from sav.drawing.visualizer import ColorMode, Visualizer

# Detectron2 counts the processes of a machine in a group of its own.
launch = partial(_launch, on_meeting=comm.create_local_process_group)

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
