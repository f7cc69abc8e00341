"""Trainings, each a process of its own: what is finished is kept, what was interrupted goes on."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from tqdm import tqdm

from sav.bench.processes import run_all
from sav.config import load_config
from sav.d2 import CfgNode
from sav.data.registration import register_part_datasets
from sav.device import check_device
from sav.engine.trainer import Trainer
from sav.errors import SAVError
from sav.evaluation.results import Results
from sav.modeling.meta_arch import SAV
from sav.modeling.weights import load_weights
from sav.run_folder import CONFIG_FILE, RESULTS_FILE, WEIGHTS_FILE

Jobs = Mapping[tuple[str, str], Sequence[str]]
"""(row of the table, run such as "seed0") -> config options."""


def count(text: str) -> int:
    """For argparse: a whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}: give 1 or more")
    return value


def add_config_argument(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add --config-file, which is required without a default."""
    parser.add_argument(
        "--config-file",
        type=Path,
        required=default is None,
        default=default,
        metavar="FILE",
        help="of the trainings",
    )


def add_seeds_argument(parser: argparse._ActionsContainer) -> None:
    """Add --seeds."""
    parser.add_argument("--seeds", type=count, default=3, metavar="N", help="runs")


def seed_options(seeds: int) -> dict[str, list[str]]:
    """The config options of each run, where runs differ in their seed alone."""
    return {f"seed{seed}": ["SEED", str(seed)] for seed in range(seeds)}


def data_set_options(files: Mapping[str, Path]) -> list[str]:
    """The config options that name the annotation files of data sets, full paths."""
    return [w for name, file in files.items() for w in (f"DATASETS.PARTS.{name}", str(file))]


def shared_options(args: argparse.Namespace) -> list[str]:
    """The config options of all runs: those of the command line, and --iterations."""
    return [*args.opts, *(["SOLVER.MAX_ITER", str(args.iterations)] if args.iterations else [])]


def train_all(
    config_file: Path, output: Path, jobs: Jobs, *, parallel: int
) -> dict[str, dict[str, Results]]:
    """Train and evaluate what has no results yet, in the folders OUTPUT/ROW/RUN.

    Args:
        config_file: of all jobs.
        output: folder of the experiment.
        jobs: what to train, begun in this order.
        parallel: so many at a time.

    Returns:
        the contents of each ``results.json``, by row and run.

    Raises:
        SAVError: a config is wrong, a folder holds another training, or a training failed; the
            others are ended then.
    """
    # Without evaluations on the way, results are the sign of a finished run.
    trainings = {
        output / row / run: [*options, "TEST.EVAL_PERIOD", "0"]
        for (row, run), options in jobs.items()
    }
    # A mistake in the last one shows before the first has trained for hours.
    for folder, options in trainings.items():
        _check_settings(config_file, options, folder)
    missing = [
        (folder, _command(config_file, options, folder))
        for folder, options in trainings.items()
        if not (folder / RESULTS_FILE).is_file()
    ]
    done = len(trainings) - len(missing)
    with tqdm(desc="trainings", unit="run", initial=done, total=len(trainings)) as progress:
        run_all(missing, parallel, progress)
    found: dict[str, dict[str, Results]] = {}
    for folder in trainings:
        results = json.loads((folder / RESULTS_FILE).read_text("utf-8"))
        found.setdefault(folder.parent.name, {})[folder.name] = results
    return found


def _command(config_file: Path, options: Sequence[str], folder: Path) -> list[str]:
    words = ["--resume", "--config-file", str(config_file), *options, "OUTPUT_DIR", str(folder)]
    return [sys.executable, "-m", "sav.bench.train", *words]


def _check_settings(config_file: Path, options: Sequence[str], folder: Path) -> None:
    """Refuse a folder whose training had other settings."""
    wanted = load_config(config_file, options, experiment=True)
    if not all((folder / name).is_file() for name in (CONFIG_FILE, "last_checkpoint")):
        return
    options = ["OUTPUT_DIR", wanted.OUTPUT_DIR]
    known = load_config(folder / CONFIG_FILE, options, experiment=True)
    lines = zip_longest(wanted.dump().splitlines(), known.dump().splitlines(), fillvalue="nothing")
    for here, there in lines:
        if here != there:
            raise SAVError(
                f"{folder}: holds a training with '{there.strip()}' instead of '{here.strip()}'; "
                "choose another --output, or delete it"
            )


def load_trained(
    run: Path, options: Sequence[str], trainer_type: type[Trainer] = Trainer
) -> tuple[CfgNode, SAV]:
    """A finished training's config, with other options, and its model, with an empty gallery."""
    cfg = load_config(run / CONFIG_FILE, options, experiment=trainer_type.reads_experiments)
    check_device(cfg.MODEL.DEVICE, "MODEL.DEVICE")
    register_part_datasets(cfg)
    model = trainer_type.build_model(cfg).eval()
    load_weights(model, run / WEIGHTS_FILE)
    return cfg, model
