"""Detectron2's trainer, its data and its metrics file, mended."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from detectron2.data.build import _train_loader_from_config
from detectron2.data.samplers import TrainingSampler
from detectron2.engine import DefaultTrainer as _DefaultTrainer
from detectron2.engine.train_loop import TrainerBase
from detectron2.utils.events import EventWriter, get_event_storage
from torch.utils.data import Sampler

from sav.d2.shared.loaders import Mapper, TrainLoader, stream_seed
from sav.d2.shared.metrics_file import MetricsFile
from sav.d2.shared.trainer import AssembledTrainer


class DefaultTrainer(AssembledTrainer, _DefaultTrainer):
    """Detectron2's trainer that also runs on several CPUs and resumes its data where they were."""

    def __init__(self, cfg: CfgNode) -> None:
        # The original's constructor insists on GPUs when there are several processes.
        TrainerBase.__init__(self)
        self._assemble(cfg)


def build_detection_train_loader(
    cfg: CfgNode,
    mapper: Mapper,
    *,
    dataset: list[dict[str, Any]],
    sampler: Sampler | None = None,
) -> TrainLoader:
    """Build our loader with the settings, and the sampler, that Detectron2 takes from a config."""
    seed = stream_seed(cfg.SEED)
    if sampler is None and cfg.DATALOADER.SAMPLER_TRAIN == "TrainingSampler":
        sampler = TrainingSampler(len(dataset), seed=seed)
    settings = _train_loader_from_config(cfg, mapper, dataset=dataset, sampler=sampler)
    return TrainLoader(**settings, seed=seed)


class JSONWriter(MetricsFile, EventWriter):
    """Writes ``metrics.json`` as strict JSON; see :class:`MetricsFile`."""

    def write(self) -> None:
        """Write what is new."""
        self.append(get_event_storage())
