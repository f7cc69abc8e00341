"""The default set-up, command line and trainer."""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sav.d2.builtin import hooks
from sav.d2.builtin.checkpoint import DetectionCheckpointer
from sav.d2.builtin.config import CfgNode
from sav.d2.builtin.evaluation import (
    DatasetEvaluator,
    inference_on_dataset,
    print_csv_format,
    verify_results,
)
from sav.d2.builtin.events import CommonMetricPrinter, EventWriter, JSONWriter, TensorboardXWriter
from sav.d2.builtin.loaders import build_detection_test_loader, build_detection_train_loader
from sav.d2.builtin.logger import setup_logger
from sav.d2.builtin.registries import build_model
from sav.d2.builtin.solver import build_lr_scheduler, build_optimizer
from sav.d2.builtin.train_loop import HookBase, SimpleTrainer, TrainerBase
from sav.d2.shared import comm
from sav.d2.shared.trainer import AssembledTrainer
from sav.errors import SAVError

logger = logging.getLogger(__name__)


def default_argument_parser(epilog: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of a training script.

    Args:
        epilog: text below the help.
    """
    parser = argparse.ArgumentParser(
        epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", default="", metavar="FILE", help="path of the config")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR"
    )
    parser.add_argument("--eval-only", action="store_true", help="evaluate without training")
    parser.add_argument("--num-gpus", type=int, default=1, help="processes on each machine")
    parser.add_argument("--num-machines", type=int, default=1, help="machines of the job")
    parser.add_argument("--machine-rank", type=int, default=0, help="number of this machine")
    parser.add_argument(
        "--dist-url", default="auto", help="tcp://HOST:PORT of the first machine (default: auto)"
    )
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="config overrides at the end: KEY VALUE ..."
    )
    return parser


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
    if cfg.FLOAT32_PRECISION:
        torch.set_float32_matmul_precision(cfg.FLOAT32_PRECISION)
        torch.backends.cudnn.allow_tf32 = cfg.FLOAT32_PRECISION != "highest"


def _environment() -> str:
    """Describe what a report of a problem needs."""
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return (
        f"Python {sys.version.split()[0]} on {sys.platform}, torch {torch.__version__}, "
        f"numpy {np.__version__}, {', '.join(devices) or f'CPU, {torch.get_num_threads()} threads'}"
    )


def default_writers(output_dir: str, max_iter: int | None = None) -> list[EventWriter]:
    """Return writers to the log, to ``metrics.json`` and to TensorBoard."""
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    return [
        CommonMetricPrinter(max_iter),
        JSONWriter(str(Path(output_dir) / "metrics.json")),
        TensorboardXWriter(output_dir),
    ]


class DefaultTrainer(AssembledTrainer, TrainerBase):
    """A trainer from a config, with the usual hooks.

    Subclasses override the ``build_*`` methods and ``test``.

    Attributes:
        cfg: the config.
        scheduler: of the learning rate.
        checkpointer: saves and resumes; add to it what else belongs to the run.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self._assemble(cfg, DetectionCheckpointer)

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

    def resume_or_load(self, resume: bool = True) -> None:
        """Go on from the last checkpoint, or load the weights of ``MODEL.WEIGHTS``.

        Resuming restores weights, optimizer, schedule, hooks and everything else that the
        checkpointer knows, and the training data go on where they stopped.

        Args:
            resume: False always starts a new run at iteration 0.
        """
        resume = resume and self.checkpointer.has_checkpoint()
        self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if resume:
            # The checkpoint holds the iteration that was just finished.
            self.start_iter = self.iter + 1
            self._start_data()

    def build_hooks(self) -> list[HookBase | None]:
        """Return the hooks: timer, learning rate, checkpoints, evaluation, writers."""
        main = comm.is_main_process()

        def test_and_keep() -> dict[str, Any]:
            self._last_eval_results = self.test(self.cfg, self.model)
            return self._last_eval_results

        return [
            hooks.IterationTimer(),
            hooks.LRScheduler(),
            hooks.PeriodicCheckpointer(self.checkpointer, self.cfg.SOLVER.CHECKPOINT_PERIOD)
            if main
            else None,
            # After the checkpoint, so that a failing evaluation does not cost the weights.
            hooks.EvalHook(self.cfg.TEST.EVAL_PERIOD, test_and_keep),
            # Last, so that it sees what the others stored.
            hooks.PeriodicWriter(self.build_writers(), period=20) if main else None,
        ]

    def build_writers(self) -> list[EventWriter]:
        """Return the writers of metrics."""
        return default_writers(self.cfg.OUTPUT_DIR, self.max_iter)

    def train(self) -> dict[str, Any] | None:
        """Train; returns the results when ``TEST.EXPECTED_RESULTS`` asks to verify them."""
        super().train(self.start_iter, self.max_iter)
        if not self.cfg.TEST.EXPECTED_RESULTS or not comm.is_main_process():
            return None
        verify_results(self.cfg, self._last_eval_results)
        return self._last_eval_results

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

    @classmethod
    def build_step_trainer(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        data_loader: Iterable[Any],
        optimizer: torch.optim.Optimizer,
    ) -> SimpleTrainer:
        """Return what does one step."""
        if cfg.SOLVER.AMP.ENABLED:
            raise SAVError("SOLVER.AMP.ENABLED: override build_step_trainer() for mixed precision")
        return SimpleTrainer(model, data_loader, optimizer)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(
        cls, cfg: CfgNode, optimizer: torch.optim.Optimizer
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the schedule."""
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable[Any]:
        """Return the training data."""
        return build_detection_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[Any]:
        """Return the data of one of ``DATASETS.TEST``."""
        return build_detection_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Return the evaluator of a data set; without one there is no evaluation."""
        raise NotImplementedError("implement build_evaluator() to evaluate")

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: DatasetEvaluator | Sequence[DatasetEvaluator] | None = None,
    ) -> dict[str, Any]:
        """Evaluate a model on ``DATASETS.TEST``.

        Args:
            cfg: the config.
            model: with its weights.
            evaluators: one for each data set; by default :meth:`build_evaluator` makes them.

        Returns:
            ``{data set: results}``, or just the results when there is one data set.
        """
        if isinstance(evaluators, DatasetEvaluator):
            evaluators = [evaluators]
        if evaluators is not None and len(evaluators) != len(cfg.DATASETS.TEST):
            raise AssertionError(f"{len(evaluators)} evaluators for {cfg.DATASETS.TEST}")
        results: OrderedDict[str, Any] = OrderedDict()
        for i, name in enumerate(cfg.DATASETS.TEST):
            data_loader = cls.build_test_loader(cfg, name)
            try:
                evaluator = evaluators[i] if evaluators else cls.build_evaluator(cfg, name)
            except NotImplementedError:
                logger.warning("No evaluator for %s; implement build_evaluator()", name)
                results[name] = {}
                continue
            results[name] = inference_on_dataset(model, data_loader, evaluator)
            if comm.is_main_process():
                logger.info("Evaluation results for %s in csv format:", name)
                print_csv_format(results[name])
        return next(iter(results.values())) if len(results) == 1 else results

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
