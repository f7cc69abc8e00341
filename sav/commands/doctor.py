"""``sav doctor``: whether SAV can work here, and what is missing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sav.commands.json_output import STDOUT, add_json_argument, check_own, json_output, to_json
from sav.doctor.report import FORMAT, diagnose, format_text, problems, to_dict
from sav.errors import SAVError

EXAMPLES = (
    "sav doctor",
    "sav doctor --model output/quickstart",
    "sav doctor --json",
)

_LISTED = 3
"""Things that are wrong, in the line of the error."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; :func:`run` executes what was chosen."""
    parser.add_argument(
        "--model",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN_FOLDER",
        help="check these, too: OUTPUT_DIR of finished trainings",
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Print what is there.

    Raises:
        SAVError: something must be mended before SAV works.
    """
    check_own(args.json, FORMAT)
    if sys.stderr.isatty():
        sys.stderr.write("trying the packages that SAV stands on ...\n")
    report = diagnose(args.model)
    with json_output(args.json) as write_json:
        if args.json != STDOUT:
            sys.stdout.write(format_text(report))
        write_json(to_json(FORMAT, to_dict(report)))
    found = problems(report)
    if found:
        sys.stdout.flush()  # before the line of the error
        shown = [f"{item.name} ({item.mend})" for item in found[:_LISTED]]
        if len(found) > _LISTED:
            shown.append(f"and {len(found) - _LISTED} more, see the report")
        raise SAVError(f"not ready: {'; '.join(shown)}")
