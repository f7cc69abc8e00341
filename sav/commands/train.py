"""``sav train``: train a model from a config file."""

from __future__ import annotations

import argparse

from sav.engine import run as engine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of Detectron2's training scripts; :func:`run` takes what is parsed."""
    for action in engine.argument_parser()._actions:
        if action.dest != "help":
            parser._add_action(action)


def run(args: argparse.Namespace) -> None:
    """Train, or evaluate with --eval-only.

    Raises:
        SAVError: something the user can mend.
    """
    engine.run(args)
