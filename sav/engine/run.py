"""One run: configure, train or evaluate."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

import torch

from sav.config import load_config
from sav.d2 import (
    CfgNode,
    comm,
    default_argument_parser,
    default_setup,
    engine_description,
    launch,
    setup_logger,
)
from sav.data.registration import register_part_datasets
from sav.engine.evaluate import evaluate, ready_to_predict
from sav.engine.trainer import Trainer
from sav.errors import SAVError
from sav.modeling.weights import load_weights

argument_parser = default_argument_parser


def setup(args: argparse.Namespace, *, experiment: bool = False) -> CfgNode:
    """Read the config, register its data sets, open the run folder and its log.

    What ``experiment`` allows, see :func:`~sav.config.load_config`.

    Raises:
        SAVError: the config or a data set is not usable, or there is no such device.
    """
    cfg = load_config(args.config_file, args.opts, experiment=experiment)
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        raise SAVError(
            f"MODEL.DEVICE is {cfg.MODEL.DEVICE}, but no GPU can be used here; add MODEL.DEVICE cpu"
        )
    register_part_datasets(cfg)
    cfg.freeze()
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="sav")
    logging.getLogger("sav").info("Engine: %s", engine_description())
    default_setup(cfg, args)
    return cfg


def main(args: argparse.Namespace, trainer_type: type[Trainer] = Trainer) -> None:
    """Train, or with --eval-only evaluate, as the arguments say. Runs in each process."""
    cfg = setup(args, experiment=trainer_type.reads_experiments)
    if args.eval_only:
        if not cfg.MODEL.WEIGHTS:
            raise SAVError("--eval-only: set MODEL.WEIGHTS to the weights to evaluate")
        model = trainer_type.build_model(cfg)
        load_weights(model, Path(cfg.MODEL.WEIGHTS))
        with ready_to_predict(cfg, model):
            evaluate(cfg, model)
        return
    trainer = trainer_type(cfg)
    # A job that torchrun has started again goes on where it was, whatever its first command said.
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    trainer.resume_or_load(resume=args.resume or restarted)
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
