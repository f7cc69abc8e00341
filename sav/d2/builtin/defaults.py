"""The default set-up, command line and trainer."""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sav.d2.builtin.config import CfgNode
from sav.d2.builtin.logger import setup_logger
from sav.d2.builtin.registries import build_model
from sav.d2.builtin.train_loop import TrainerBase
from sav.d2.shared import comm
from sav.d2.shared.trainer import AssembledTrainer

logger = logging.getLogger(__name__)


def default_setup(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Set up logs, seeds and backends, and keep the config with the run.

    Args:
        cfg: the full config.
        args: command line, logged; ``config_file`` and ``eval_only`` are used when present.
    """
    rank = comm.get_rank()
    output_dir = cfg.OUTPUT_DIR
    if comm.is_main_process() and output_dir:
        Path(output_dir).mkdir(parents=True, exist_ok=True)
    for name in ("fvcore", "sav"):
        setup_logger(output_dir or None, distributed_rank=rank, name=name)
    logger.info("Rank of current process: %d. World size: %d", rank, comm.get_world_size())
    logger.info("Environment: %s", _environment())
    logger.info("Command line arguments: %s", args)
    config_file = getattr(args, "config_file", "")
    if config_file:
        text = Path(config_file).read_text(encoding="utf-8")
        logger.info("Contents of args.config_file=%s:\n%s", config_file, text)
    if comm.is_main_process() and output_dir:
        path = Path(output_dir) / "config.yaml"
        logger.info("Running with full config:\n%s", cfg.dump())
        path.write_text(cfg.dump(), encoding="utf-8")
        logger.info("Full config saved to %s", path)
    if cfg.SEED >= 0:
        # Each process its own numbers, the same ones in every run.
        random.seed(cfg.SEED + rank)
        np.random.seed(cfg.SEED + rank)
        torch.manual_seed(cfg.SEED + rank)
    if not getattr(args, "eval_only", False):
        torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK


def _environment() -> str:
    """Describe what a report of a problem needs."""
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return (
        f"Python {sys.version.split()[0]} on {sys.platform}, torch {torch.__version__}, "
        f"numpy {np.__version__}, {', '.join(devices) or f'CPU, {torch.get_num_threads()} threads'}"
    )


class DefaultTrainer(AssembledTrainer, TrainerBase):
    """A trainer from a config.

    Subclasses have ``build_optimizer(cfg, model)``, ``build_lr_scheduler(cfg, optimizer)``,
    ``build_train_loader(cfg)``, ``build_step_trainer(cfg, model, data_loader, optimizer)`` and
    ``build_hooks()``.

    Attributes:
        cfg: the config.
        scheduler: of the learning rate.
        checkpointer: saves and resumes; add to it what else belongs to the run.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self._assemble(cfg)

    @property
    def model(self) -> nn.Module:
        """The model, wrapped when there are several processes."""
        return self._trainer.model

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer."""
        return self._trainer.optimizer

    @property
    def data_loader(self) -> Iterable[Any]:
        """The training data."""
        return self._trainer.data_loader

    def train(self) -> None:
        """Run the iterations that are left."""
        super().train(self.start_iter, self.max_iter)

    def run_step(self) -> None:
        """Do one iteration."""
        self._trainer.iter = self.iter
        self._trainer.run_step()

    def state_dict(self) -> dict[str, Any]:
        """Add the inner trainer, with its optimizer, to the state."""
        return {**super().state_dict(), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the inner trainer too."""
        super().load_state_dict(state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Return the model."""
        model = build_model(cfg)
        logger.info("Model:\n%s", model)
        return model

    @staticmethod
    def auto_scale_workers(cfg: CfgNode, num_workers: int) -> CfgNode:
        """Adapt a config made for ``SOLVER.REFERENCE_WORLD_SIZE`` processes to another number.

        The batch of each process stays the same: total batch and learning rate grow with the
        number, iterations and periods shrink. With a reference of 0 nothing changes.
        """
        reference = cfg.SOLVER.REFERENCE_WORLD_SIZE
        if reference in (0, num_workers):
            return cfg
        frozen, cfg = cfg.is_frozen(), cfg.clone()
        cfg.defrost()
        solver = cfg.SOLVER
        if solver.IMS_PER_BATCH % reference:
            raise AssertionError("SOLVER.IMS_PER_BATCH is no multiple of REFERENCE_WORLD_SIZE")
        scale = num_workers / reference
        solver.IMS_PER_BATCH = round(solver.IMS_PER_BATCH * scale)
        solver.BASE_LR *= scale
        for key in ("MAX_ITER", "WARMUP_ITERS", "CHECKPOINT_PERIOD"):
            solver[key] = round(solver[key] / scale)
        solver.STEPS = tuple(round(step / scale) for step in solver.STEPS)
        cfg.TEST.EVAL_PERIOD = round(cfg.TEST.EVAL_PERIOD / scale)
        solver.REFERENCE_WORLD_SIZE = num_workers
        if frozen:
            cfg.freeze()
        return cfg
