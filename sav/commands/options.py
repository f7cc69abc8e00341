"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from sav.run_folder import SHIPPED


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that predicts: --model, --gallery and --device."""
    parser.add_argument(
        "--model",
        type=Path,
        default=SHIPPED,
        metavar="RUN_FOLDER",
        help="OUTPUT_DIR of a finished training; the model that comes with SAV",
    )
    parser.add_argument(
        "--gallery", type=Path, metavar="DIR", help="another gallery than that of the run"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ...; a GPU when there is one")
