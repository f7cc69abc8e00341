"""One run: configure, train or evaluate."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from sav.config import load_config
from sav.d2 import (
    CfgNode,
    comm,
    default_setup,
    engine_description,
    launch,
    setup_logger,
)
from sav.data.registration import register_part_datasets
from sav.device import check_device
from sav.engine.evaluate import evaluate, ready_to_predict
from sav.engine.trainer import Trainer
from sav.errors import SAVError
from sav.modeling.weights import load_weights
from sav.run_folder import check_unused, locked


def setup(args: argparse.Namespace, *, experiment: bool = False) -> CfgNode:
    """Read the config, register its data sets, make the run folder and its log.

    What ``experiment`` allows, see :func:`~sav.config.load_config`.

    Raises:
        SAVError: the config or a data set is not usable, or there is no such device.
    """
    cfg = _read_config(args, experiment)
    _start_log(cfg, args)
    return cfg


def _read_config(args: argparse.Namespace, experiment: bool) -> CfgNode:
    cfg = load_config(args.config_file, args.opts, experiment=experiment)
    check_device(cfg.MODEL.DEVICE, "MODEL.DEVICE")
    register_part_datasets(cfg)
    cfg.freeze()
    return cfg


def _start_log(cfg: CfgNode, args: argparse.Namespace) -> None:
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="sav")
    logging.getLogger("sav").info("Engine: %s", engine_description())
    default_setup(cfg, args)


def main(args: argparse.Namespace, trainer_type: type[Trainer] = Trainer) -> None:
    """Train, or with --eval-only evaluate, as the arguments say. Runs in each process.

    Raises:
        SAVError: see :func:`setup`; the run folder is in use, or holds a training that is not to be
            resumed.
    """
    cfg = _read_config(args, trainer_type.reads_experiments)
    if args.eval_only and not cfg.MODEL.WEIGHTS:
        raise SAVError("--eval-only: set MODEL.WEIGHTS to the weights to evaluate")
    # A job that torchrun has started again goes on where it was, whatever its first command said.
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    resume = args.resume or restarted
    with _run_folder(cfg, is_new=not (resume or args.eval_only)):
        _start_log(cfg, args)
        _train_or_evaluate(cfg, trainer_type, resume=resume, eval_only=args.eval_only)


@contextmanager
def _run_folder(cfg: CfgNode, *, is_new: bool) -> Iterator[None]:
    """The first process has the folder to itself; the others write nothing before that is sure."""
    folder = Path(cfg.OUTPUT_DIR)
    with locked(folder) if comm.is_main_process() else nullcontext():
        if is_new and comm.is_main_process():
            check_unused(folder)
        comm.synchronize()
        yield


def _train_or_evaluate(
    cfg: CfgNode, trainer_type: type[Trainer], *, resume: bool, eval_only: bool
) -> None:
    if eval_only:
        model = trainer_type.build_model(cfg)
        load_weights(model, Path(cfg.MODEL.WEIGHTS))
        with ready_to_predict(cfg, model):
            evaluate(cfg, model, report=True)
        return
    trainer = trainer_type(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()


def run(args: argparse.Namespace, trainer_type: type[Trainer] = Trainer) -> None:
    """Start the processes that the arguments ask for."""
    launch(
        main,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args, trainer_type),
    )
