"""Our loaders, with data sets and settings as Detectron2 takes them from a config."""

from __future__ import annotations

from typing import Any

from detectron2.config import configurable
from detectron2.data import build as _original

from sav.d2.shared import loaders
from sav.d2.shared.samplers import TrainingSampler

__all__ = ["build_detection_test_loader", "build_detection_train_loader"]


def _train_loader_from_config(
    cfg: Any, mapper: Any = None, *, dataset: Any = None, sampler: Any = None
) -> dict[str, Any]:
    """Take everything but the default sampler from Detectron2."""
    if dataset is None:
        dataset = _original.get_detection_dataset_dicts(
            cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
        )
    if sampler is None and cfg.DATALOADER.SAMPLER_TRAIN == "TrainingSampler":
        sampler = TrainingSampler(len(dataset), seed=cfg.SEED if cfg.SEED >= 0 else None)
    return _original._train_loader_from_config(cfg, mapper, dataset=dataset, sampler=sampler)


build_detection_train_loader = configurable(from_config=_train_loader_from_config)(
    loaders.build_detection_train_loader
)

build_detection_test_loader = configurable(from_config=_original._test_loader_from_config)(
    loaders.build_detection_test_loader
)
