"""The command line of a training script."""

from __future__ import annotations

import argparse


def argument_parser() -> argparse.ArgumentParser:
    """The options of Detectron2's training scripts, declared without its import, which is slow."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config-file", default="", metavar="FILE", help="path of the config")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR"
    )
    parser.add_argument("--eval-only", action="store_true", help="evaluate without training")
    parser.add_argument("--num-gpus", type=int, default=1, help="processes on each machine")
    parser.add_argument("--num-machines", type=int, default=1, help="machines of the job")
    parser.add_argument("--machine-rank", type=int, default=0, help="number of this machine")
    parser.add_argument(
        "--dist-url", default="auto", help="tcp://HOST:PORT of the first machine (default: auto)"
    )
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="config overrides at the end: KEY VALUE ..."
    )
    return parser
