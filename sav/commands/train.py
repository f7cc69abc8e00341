"""``sav train``: train a model from a config file."""

from __future__ import annotations

import argparse

from sav.engine.arguments import argument_parser

EXAMPLES = (
    "sav train --config-file configs/dsmlr/SAV-Tiny.yaml",
    "sav train --config-file configs/dsmlr/SAV-Tiny.yaml --resume SOLVER.MAX_ITER 8000",
    "sav train --config-file configs/vehicleseg10k/SAV-ViT-B.yaml --num-gpus 8 "
    "MODEL.SAM.CHECKPOINT sam_vit_b_01ec64.pth",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of Detectron2's training scripts; :func:`run` takes what is parsed."""
    for action in argument_parser()._actions:
        if action.dest != "help":
            parser._add_action(action)


def run(args: argparse.Namespace) -> None:
    """Train, or evaluate with --eval-only.

    Raises:
        SAVError: something the user can mend.
    """
    from sav.engine import run as engine  # noqa: PLC0415

    engine.run(args)
