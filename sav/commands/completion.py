"""Completion in shells: a script that is made once and needs no Python afterwards."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import shtab

_FOLDERS = frozenset({"DIR", "RUN_FOLDER"})


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that completes a command and its sub-commands, options, choices and files.

    Args:
        parser: of the whole command; changed in place.
        shell: bash, zsh or fish.
    """
    for action in _actions(parser):
        if action.type is Path or action.metavar in ("PHOTO", "FILE"):
            names = shtab.DIRECTORY if action.metavar in _FOLDERS else shtab.FILE
            action.complete = names
    return shtab.complete(parser, shell) + "\n"


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _actions(child)
        else:
            yield action
