"""Data loaders from a config."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset, Sampler

from sav.d2.builtin.catalog import DatasetCatalog, MetadataCatalog
from sav.d2.builtin.config import CfgNode, configurable
from sav.d2.shared import loaders
from sav.d2.shared.loaders import Mapper
from sav.d2.shared.samplers import TrainingSampler

logger = logging.getLogger(__name__)


def get_detection_dataset_dicts(
    names: str | Sequence[str], filter_empty: bool = True
) -> list[dict[str, Any]]:
    """Load registered data sets into one list.

    Args:
        names: one name or several; their class names must agree.
        filter_empty: leave out images without an annotation that is not a crowd.

    Returns:
        The records.

    Raises:
        AssertionError: when there is no name, no record, or the classes differ.
    """
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise AssertionError("no data set is named; set DATASETS.TRAIN or DATASETS.TEST")
    records: list[dict[str, Any]] = []
    for name in names:
        loaded = DatasetCatalog.get(name)
        if not loaded:
            raise AssertionError(f"data set {name!r} is empty")
        records += loaded
    classes = {tuple(MetadataCatalog.get(name).get("thing_classes", ())) for name in names}
    if len(classes) > 1:
        raise AssertionError(f"data sets {', '.join(names)} have different thing_classes")
    if filter_empty and "annotations" in records[0]:
        kept = [r for r in records if any(a.get("iscrowd", 0) == 0 for a in r["annotations"])]
        left_out = len(records) - len(kept)
        logger.info("%d of %d images without annotation are left out", left_out, len(records))
        records = kept
    if not records:
        raise AssertionError(f"no image of {', '.join(names)} has an annotation")
    return records


def _train_loader_from_config(
    cfg: CfgNode,
    mapper: Mapper | None = None,
    *,
    dataset: Sequence[Any] | Dataset | None = None,
    sampler: Sampler | None = None,
) -> dict[str, Any]:
    if dataset is None:
        dataset = get_detection_dataset_dicts(
            cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
        )
    if sampler is None:
        if cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
            raise ValueError(f"unknown DATALOADER.SAMPLER_TRAIN {cfg.DATALOADER.SAMPLER_TRAIN!r}")
        # A negative seed asks for a random run.
        sampler = TrainingSampler(len(dataset), seed=cfg.SEED if cfg.SEED >= 0 else None)
    return {
        "dataset": dataset,
        "mapper": mapper,
        "sampler": sampler,
        "total_batch_size": cfg.SOLVER.IMS_PER_BATCH,
        "aspect_ratio_grouping": cfg.DATALOADER.ASPECT_RATIO_GROUPING,
        "num_workers": cfg.DATALOADER.NUM_WORKERS,
    }


def _test_loader_from_config(
    cfg: CfgNode, dataset_name: str | Sequence[str], mapper: Mapper | None = None
) -> dict[str, Any]:
    return {
        "dataset": get_detection_dataset_dicts(dataset_name, filter_empty=False),
        "mapper": mapper,
        "num_workers": cfg.DATALOADER.NUM_WORKERS,
    }


build_detection_train_loader = configurable(from_config=_train_loader_from_config)(
    loaders.build_detection_train_loader
)

build_detection_test_loader = configurable(from_config=_test_loader_from_config)(
    loaders.build_detection_test_loader
)
