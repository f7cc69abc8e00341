"""``sav eval``: evaluate a trained model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sav.commands import train
from sav.commands.json_output import add_json_argument, check_own, json_output, to_json
from sav.errors import SAVError
from sav.run_folder import CONFIG_FILE, RESULTS_FILE, WEIGHTS_FILE

FORMAT = "sav-eval"
EXAMPLES = (
    "sav eval --model output/quickstart",
    "sav eval --json --model output/quickstart OUTPUT_DIR output/eval TEST.AUG.ENABLED True",
    "sav eval --model output/dsmlr/best DATASETS.ROOT /data/parts",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; :func:`run` executes what was chosen."""
    train.add_arguments(parser)
    parser.add_argument(
        "--model",
        type=Path,
        metavar="RUN_FOLDER",
        help="OUTPUT_DIR of a finished training: short for its config file, weights and OUTPUT_DIR",
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate on the data sets of DATASETS.TEST: results.json, report.html, pictures of both.

    Raises:
        SAVError: something the user can mend.
    """
    check_own(args.json, FORMAT)
    args.eval_only = True
    if args.model is not None:
        if not args.model.is_dir():
            raise SAVError(f"{args.model}: no such run folder; give the OUTPUT_DIR of a training")
        args.config_file = args.config_file or str(args.model / CONFIG_FILE)
        weights = str(args.model / WEIGHTS_FILE)
        # What the user sets comes last and wins.
        args.opts = ["MODEL.WEIGHTS", weights, "OUTPUT_DIR", str(args.model), *args.opts]
    with json_output(args.json) as write_json:
        train.run(args)
        if args.json is not None:
            write_json(_read_results(args))


def _read_results(args: argparse.Namespace) -> str:
    from sav.config import load_config  # noqa: PLC0415

    folder = Path(load_config(args.config_file, args.opts).OUTPUT_DIR)
    results = json.loads((folder / RESULTS_FILE).read_text("utf-8"))
    return to_json(FORMAT, {"output": str(folder), "results": results})
