"""``sav eval``: evaluate a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path

from sav.commands import train
from sav.errors import SAVError
from sav.run_folder import CONFIG_FILE, WEIGHTS_FILE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; :func:`run` executes what was chosen."""
    train.add_arguments(parser)
    parser.add_argument(
        "--model",
        type=Path,
        metavar="RUN_FOLDER",
        help="a finished training: short for its config file, weights and output folder",
    )


def run(args: argparse.Namespace) -> None:
    """Evaluate on the data sets of DATASETS.TEST: results.json, report.html, pictures of both.

    Raises:
        SAVError: something the user can mend.
    """
    args.eval_only = True
    if args.model is not None:
        if not args.model.is_dir():
            raise SAVError(f"{args.model}: no such run folder; give the OUTPUT_DIR of a training")
        args.config_file = args.config_file or str(args.model / CONFIG_FILE)
        weights = str(args.model / WEIGHTS_FILE)
        # What the user sets comes last and wins.
        args.opts = ["MODEL.WEIGHTS", weights, "OUTPUT_DIR", str(args.model), *args.opts]
    train.run(args)
