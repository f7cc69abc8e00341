"""The ``sav`` command: finds the sub-command's file in :mod:`sav.commands` and runs it.

Such a file has ``add_arguments(parser)`` and ``run(args)``. It is imported when it is used, and
imports torch when it runs, so that no ``--help`` waits for it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from sav import __version__
from sav.commands.help import examples
from sav.errors import SAVError
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
    "assign": "say on which part of which vehicle damage, dirt or anything else lies",
    "serve": "answer photos on a web page and by HTTP",
    "export": "write a model for runtimes without torch",
    "gallery": "build, inspect and query a gallery of annotated vehicles",
    "graph": "show, check, draw and mine knowledge graphs",
    "doctor": "say whether SAV can work here, and what is missing",
    "bench": "repeat the experiments that docs/results.md reports",
}
"""Name of the file in sav/commands: what it does."""

SHELLS = ("bash", "zsh", "fish")

_SUMMARY = "Segment Any Vehicle: find the named parts of vehicles in photos."


def main() -> None:
    """Entry point of the console command; exits with 0, or with one line of error and another."""
    run_command(lambda: dispatch(sys.argv[1:]))


def dispatch(argv: list[str]) -> None:
    """Run a sub-command.

    Args:
        argv: the words after ``sav``.

    Raises:
        SAVError: something the user can mend, such as a package that cannot be imported.
    """
    args = _first_parser().parse_args(argv)
    command = _import(args.command)
    parser = argparse.ArgumentParser(f"sav {args.command}", **_description(args.command, command))
    command.add_arguments(parser)
    words = parser.parse_args(args.arguments)
    with _missing_packages():
        command.run(words)


def full_parser() -> argparse.ArgumentParser:
    """The parser of all commands at once, for completion; takes as long as importing them all."""
    parser = argparse.ArgumentParser("sav", description=_SUMMARY)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = _import(name)
        command.add_arguments(
            commands.add_parser(name, help=summary, **_description(name, command))
        )
    return parser


def _import(name: str) -> ModuleType:
    with _missing_packages():
        return importlib.import_module(f"sav.commands.{name}")


@contextmanager
def _missing_packages() -> Iterator[None]:
    """Say of a package that cannot be imported where to learn more."""
    try:
        yield
    except (ImportError, OSError) as error:
        # A library that cannot be loaded is an OSError without a number, unlike one of a file.
        ours = (getattr(error, "name", None) or "").partition(".")[0] == "sav"
        if ours or getattr(error, "errno", None) is not None:
            raise
        raise SAVError(f"{error}; 'sav doctor' says what is missing and how to get it") from error


def _first_parser() -> argparse.ArgumentParser:
    """Finds the command, and leaves its words to the parser of the command itself."""
    listing = "\n".join(f"  {name:<9}{summary}" for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="sav",
        usage="sav [-h] [--version] [--print-completion SHELL] COMMAND ...",
        description=_SUMMARY,
        epilog=f"commands:\n{listing}\n\n'sav COMMAND --help' explains one of them, with examples.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sav {__version__}")
    script = "print the script that completes these commands in a shell (docs/command_line.md)"
    parser.add_argument(
        "--print-completion", action=_PrintCompletion, choices=SHELLS, metavar="SHELL", help=script
    )
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help="see below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _description(name: str, command: ModuleType) -> dict[str, Any]:
    return {"description": COMMANDS[name], **examples(*getattr(command, "EXAMPLES", ()))}


class _PrintCompletion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, _: Any, shell: Any, *__: Any) -> None:
        from sav.commands.completion import completion  # noqa: PLC0415

        sys.stdout.write(completion(full_parser(), shell))
        parser.exit()


if __name__ == "__main__":
    main()
