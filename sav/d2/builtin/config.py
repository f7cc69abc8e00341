"""Configuration: the default keys, their checks and the ``configurable`` decorator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode as _CfgNode

from sav.d2.shared.config import CarefulMerge

_DEFAULTS: dict[str, Any] = {
    "VERSION": 2,
    "MODEL": {
        "META_ARCHITECTURE": "GeneralizedRCNN",
        "DEVICE": "cuda",
        "WEIGHTS": "",
        "MASK_ON": False,
        "PIXEL_MEAN": [103.53, 116.28, 123.675],
        "PIXEL_STD": [1.0, 1.0, 1.0],
        "BACKBONE": {"NAME": "build_resnet_backbone", "FREEZE_AT": 2},
    },
    "INPUT": {
        "MIN_SIZE_TRAIN": (800,),
        "MIN_SIZE_TRAIN_SAMPLING": "choice",
        "MAX_SIZE_TRAIN": 1333,
        "MIN_SIZE_TEST": 800,
        "MAX_SIZE_TEST": 1333,
        "RANDOM_FLIP": "horizontal",
        "CROP": {"ENABLED": False, "TYPE": "relative_range", "SIZE": [0.9, 0.9]},
        "FORMAT": "BGR",
        "MASK_FORMAT": "polygon",
    },
    "DATASETS": {"TRAIN": (), "TEST": ()},
    "DATALOADER": {
        "NUM_WORKERS": 4,
        "ASPECT_RATIO_GROUPING": True,
        "SAMPLER_TRAIN": "TrainingSampler",
        "FILTER_EMPTY_ANNOTATIONS": True,
    },
    "SOLVER": {
        "LR_SCHEDULER_NAME": "WarmupMultiStepLR",
        "MAX_ITER": 40000,
        "BASE_LR": 0.001,
        "BASE_LR_END": 0.0,
        "MOMENTUM": 0.9,
        "NESTEROV": False,
        "WEIGHT_DECAY": 0.0001,
        "WEIGHT_DECAY_NORM": 0.0,
        "GAMMA": 0.1,
        "STEPS": (30000,),
        "WARMUP_FACTOR": 0.001,
        "WARMUP_ITERS": 1000,
        "WARMUP_METHOD": "linear",
        "CHECKPOINT_PERIOD": 5000,
        "IMS_PER_BATCH": 16,
        "REFERENCE_WORLD_SIZE": 0,
        "BIAS_LR_FACTOR": 1.0,
        "WEIGHT_DECAY_BIAS": None,
        "CLIP_GRADIENTS": {
            "ENABLED": False,
            "CLIP_TYPE": "value",
            "CLIP_VALUE": 1.0,
            "NORM_TYPE": 2.0,
        },
        "AMP": {"ENABLED": False},
    },
    "TEST": {
        "EXPECTED_RESULTS": [],
        "EVAL_PERIOD": 0,
        "DETECTIONS_PER_IMAGE": 100,
        "AUG": {"ENABLED": False, "FLIP": True},
    },
    "OUTPUT_DIR": "./output",
    "SEED": -1,
    "CUDNN_BENCHMARK": False,
    "FLOAT32_PRECISION": "",
    "VIS_PERIOD": 0,
}


class CfgNode(CarefulMerge, _CfgNode):
    """A config node: attribute access, ``_BASE_`` files, type checks, freezing.

    Unknown keys raise ``KeyError``; a value of another type than the declared one ``ValueError``.
    """

    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = True) -> None:
        """Merge a YAML file, and the files that it names under ``_BASE_`` before it.

        Args:
            cfg_filename: path of the file.
            allow_unsafe: accepted for compatibility; Python tags in YAML are always refused,
                because a config file must not be able to run code.

        Raises:
            FileNotFoundError: when there is no such file.
            KeyError, ValueError: an unknown key or a value of the wrong type.
        """
        if not Path(cfg_filename).is_file():
            raise FileNotFoundError(f"config file {cfg_filename} does not exist")
        super().merge_from_file(str(cfg_filename), allow_unsafe=False)


def get_cfg() -> CfgNode:
    """Return a fresh copy of the default config."""
    return CfgNode(_DEFAULTS).clone()


def configurable(
    init_func: Callable[..., Any] | None = None,
    *,
    from_config: Callable[..., dict[str, Any]] | None = None,
) -> Callable[..., Any]:
    """Let a constructor or a function take its arguments from a config.

    The decorated callable is called either with its own arguments, or with a config as first
    argument or as ``cfg=``; in that case ``from_config(cfg, ...)`` gives the arguments and explicit
    keyword arguments override what it returns.

    Args:
        init_func: an ``__init__`` whose class has a classmethod ``from_config``, or a function.
        from_config: for functions, what turns a config into a dict of arguments.

    Returns:
        The decorated callable, or a decorator when only ``from_config`` is given.

    Raises:
        AttributeError: when the class has no ``from_config``.
        TypeError: when ``from_config`` is no classmethod, or does not take ``cfg`` first.
    """
    if init_func is None:
        return functools.partial(configurable, from_config=from_config)

    @functools.wraps(init_func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        # A constructor's first argument is the object itself.
        own, args = ((), args) if from_config else (args[:1], args[1:])
        if isinstance(args[0] if args else kwargs.get("cfg"), _CfgNode):
            source = from_config or type(own[0]).from_config
            args, kwargs = (), _arguments_from_config(source, *args, **kwargs)
        return init_func(*own, *args, **kwargs)

    if from_config is not None:
        wrapped.from_config = from_config
    return wrapped


def _arguments_from_config(
    from_config: Callable[..., dict[str, Any]], *args: Any, **kwargs: Any
) -> dict[str, Any]:
    """Call ``from_config`` with what it takes; the rest overrides its answer."""
    parameters = inspect.signature(from_config).parameters
    if next(iter(parameters), None) != "cfg":
        raise TypeError(f"{from_config.__qualname__} must take 'cfg' as its first argument")
    kinds = {p.kind for p in parameters.values()}
    if kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}:
        return from_config(*args, **kwargs)
    extra = {name: kwargs.pop(name) for name in list(kwargs) if name not in parameters}
    return {**from_config(*args, **kwargs), **extra}
