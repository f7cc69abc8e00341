"""The ``sav`` command: finds the sub-command's file in :mod:`sav.commands` and runs it.

Such a file has ``add_arguments(parser)`` and ``run(args)``. It is imported when it is used, so that
``sav --help`` does not wait for torch.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from sav import __version__
from sav.process import run_command

COMMANDS = {
    "synth": "make images of synthetic vehicles with part annotations",
    "prepare": "convert a data set to part annotations",
    "convert": "write annotations or predictions in another format",
    "check": "find probable faults in part annotations",
    "train": "train a model from a config file",
    "eval": "evaluate a trained model",
    "compare": "compare predictions of any models with any truth",
    "predict": "find the parts of vehicles in photos and videos",
    "gallery": "build, inspect and query a gallery of annotated vehicles",
    "graph": "show, check, draw and mine knowledge graphs",
    "bench": "repeat the experiments that docs/results.md reports",
}
"""Name of the file in sav/commands: what it does."""


def main() -> None:
    """Entry point of the console command; exits with 0, or with one line of error and another."""
    run_command(lambda: dispatch(sys.argv[1:]))


def dispatch(argv: list[str]) -> None:
    """Run a sub-command.

    Args:
        argv: the words after ``sav``.
    """
    listing = "\n".join(f"  {name:<9}{summary}" for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="sav",
        usage="sav [-h] [--version] COMMAND ...",
        description="Segment Any Vehicle: find the named parts of vehicles in photos.",
        epilog=f"commands:\n{listing}\n\n'sav COMMAND --help' explains one of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sav {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help="see below")
    name = parser.parse_args(argv[:1]).command
    command = importlib.import_module(f"sav.commands.{name}")
    parser = argparse.ArgumentParser(prog=f"sav {name}", description=COMMANDS[name])
    command.add_arguments(parser)
    command.run(parser.parse_args(argv[1:]))


if __name__ == "__main__":
    main()
