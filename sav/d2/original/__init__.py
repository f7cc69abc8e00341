"""The installed Detectron2, with what we mend of it.

Everything is Detectron2's own, but for what ours does and Detectron2's does not. These stay ours:

- ``launch``: it starts processes on CPUs too, works under ``torchrun``, and when a job fails it
  says in one line what failed first.
- The loader of training batches: its randomness belongs to the place in the stream, so a resumed
  run goes on with the very same photos and augmentations. Detectron2 begins its stream anew. The
  sampler is Detectron2's, and so is the loader of test photos.
- The checkpoints: a file appears only when it is complete, a broken one gives way to the one before
  it, and reading one never runs code.
- The constructor of ``DefaultTrainer``: it accepts several processes without GPUs, and puts our
  loader and our checkpoints in. The loop, the hooks and the schedules are Detectron2's.
- ``metrics.json``: strict JSON, in which a value that is not finite is ``null``.
- ``CfgNode``, a thin subclass: an int is read where a float is declared, and a frozen config
  refuses a merge.
- ``default_setup`` writes a ``config.yaml`` without the keys that only Detectron2 knows and that
  have their default value (``dump_config``), so that the built-in engine can read the run.

What both engines need of this lies in :mod:`sav.d2.shared`; neither engine imports the other.
"""

from functools import partial

from detectron2.config import configurable
from detectron2.data import (
    DatasetCatalog,
    MetadataCatalog,
    build_detection_test_loader,
    transforms,
)
from detectron2.engine import HookBase, SimpleTrainer, hooks
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators, inference_on_dataset
from detectron2.layers import ShapeSpec
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    Backbone,
    build_backbone,
    build_model,
)
from detectron2.solver import LRMultiplier, build_lr_scheduler, get_default_optimizer_params
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils import comm
from detectron2.utils.events import (
    EventStorage,
    EventWriter,
    TensorboardXWriter,
    get_event_storage,
)
from detectron2.utils.logger import setup_logger

from sav.d2.original.config import CfgNode, default_setup, dump_config, get_cfg
from sav.d2.original.training import DefaultTrainer, JSONWriter, build_detection_train_loader
from sav.d2.shared.launch import launch as _launch

# Detectron2 counts the processes of a machine in a group of its own.
launch = partial(_launch, on_meeting=comm.create_local_process_group)

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
