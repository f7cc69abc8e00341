"""Detectron2's trainer and what it writes, mended."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer as _DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.config import get_cfg as _get_cfg
from detectron2.engine import AMPTrainer, SimpleTrainer
from detectron2.engine import DefaultTrainer as _DefaultTrainer
from detectron2.engine import default_setup as _default_setup
from detectron2.engine.train_loop import TrainerBase
from detectron2.utils import comm
from detectron2.utils.events import (
    CommonMetricPrinter,
    EventWriter,
    TensorboardXWriter,
    get_event_storage,
)
from detectron2.utils.logger import setup_logger
from torch import nn

from sav.d2.builtin.config import get_cfg as builtin_cfg
from sav.d2.shared.checkpoint import SafeCheckpoints
from sav.d2.shared.metrics_file import MetricsFile
from sav.d2.shared.trainer import AssembledTrainer


class DetectionCheckpointer(SafeCheckpoints, _DetectionCheckpointer):
    """Detectron2's checkpointer with atomic writes and safe reads."""

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load; after a failure the checkpointer stays usable, which the original forgets."""
        try:
            return super().load(path, *args, **kwargs)
        finally:
            self._parsed_url_during_load = None


class JSONWriter(MetricsFile, EventWriter):
    """Writes ``metrics.json`` as strict JSON; see :class:`MetricsFile`."""

    def write(self) -> None:
        """Write what is new."""
        self.append(get_event_storage())


def default_writers(output_dir: str, max_iter: int | None = None) -> list[EventWriter]:
    """Return writers to the log, to ``metrics.json`` and to TensorBoard."""
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    return [
        CommonMetricPrinter(max_iter),
        JSONWriter(str(Path(output_dir) / "metrics.json")),
        TensorboardXWriter(output_dir),
    ]


def default_setup(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Set up Detectron2's logs and ours, seeds and backends."""
    setup_logger(cfg.OUTPUT_DIR or None, distributed_rank=comm.get_rank(), name="sav")
    _default_setup(cfg, args)
    if comm.is_main_process() and cfg.OUTPUT_DIR:
        # The original keeps all its defaults, of which the built-in engine knows only a part.
        kept = _without_foreign_defaults(cfg, _get_cfg(), builtin_cfg())
        (Path(cfg.OUTPUT_DIR) / "config.yaml").write_text(kept.dump(), encoding="utf-8")


def _without_foreign_defaults(cfg: CfgNode, own: CfgNode, builtin: CfgNode) -> CfgNode:
    """Leave out what only Detectron2 knows and nobody has changed."""
    kept = CfgNode()
    for key, value in cfg.items():
        if key in own and key not in builtin and value == own[key]:
            continue
        nested = isinstance(value, CfgNode) and key in own and key in builtin
        kept[key] = _without_foreign_defaults(value, own[key], builtin[key]) if nested else value
    return kept


class DefaultTrainer(AssembledTrainer, _DefaultTrainer):
    """Detectron2's trainer that also runs on several CPUs and resumes its data where they were."""

    def __init__(self, cfg: CfgNode) -> None:
        # The original's constructor insists on GPUs when there are several processes.
        TrainerBase.__init__(self)
        self._assemble(cfg, DetectionCheckpointer)

    def resume_or_load(self, resume: bool = True) -> None:
        """Resume with the data where they stopped, or load ``MODEL.WEIGHTS``."""
        super().resume_or_load(resume)
        if self.start_iter:
            self._start_data()

    @classmethod
    def build_step_trainer(
        cls, cfg: CfgNode, model: nn.Module, data_loader: Any, optimizer: torch.optim.Optimizer
    ) -> SimpleTrainer:
        """Return what does one step."""
        trainer_type = AMPTrainer if cfg.SOLVER.AMP.ENABLED else SimpleTrainer
        return trainer_type(model, data_loader, optimizer)

    def build_writers(self) -> list[EventWriter]:
        """Return the writers of metrics."""
        return default_writers(self.cfg.OUTPUT_DIR, self.max_iter)
