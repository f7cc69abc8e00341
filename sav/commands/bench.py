"""``sav bench``: one sub-command an experiment."""

from __future__ import annotations

import argparse
from pathlib import Path

from sav.bench import ablation, held_out, photos, recipe, unseen, views, vocabularies
from sav.bench.peers import experiment as peers
from sav.bench.runs import count
from sav.commands.help import examples
from sav.commands.options import add_output_argument
from sav.files import check_folder

EXAMPLES = (
    "sav bench ablation --config-file configs/synthetic/SAV-Tiny.yaml --seeds 3",
    "sav bench photos --model output/quickstart --annotations photos.json --photos 20 --seeds 3",
    "sav bench views --seeds 3 --parallel 2",
)
_DSMLR = "configs/dsmlr/SAV-Tiny.yaml"
_SYNTHETIC = "configs/synthetic/SAV-Tiny.yaml"
_EXAMPLES = {
    "ablation": (f"sav bench ablation --config-file {_DSMLR} --folds 5 --variants no-graph --",),
    "peers": (f"sav bench peers --config-file {_DSMLR} --folds 3 --seconds 900 --peers fpn",),
    "unseen": (
        "sav bench unseen --seeds 3",
        f"sav bench unseen --config-file {_DSMLR} --class tailgate",
    ),
    "photos": ("sav bench photos --model output/quickstart --annotations photos.json --photos 20",),
    "vocabularies": (
        f"sav bench vocabularies --config-file {_DSMLR} --with {_SYNTHETIC} --folds 5",
    ),
    "views": ("sav bench views --seeds 3 SOLVER.BASE_LR 0.0005",),
    "recipe": ("sav bench recipe --folds 3 --iterations 1125 --parallel 2",),
    "held-out": (f"sav bench held-out --config-file {_SYNTHETIC} --classes 'Right back door'",),
}

_EXPERIMENTS = {
    "ablation": (ablation, "train without one component after the other"),
    "peers": (peers, "train other models on the same encoder and data"),
    "unseen": (unseen, "test on types of vehicles that only the gallery has"),
    "photos": (photos, "give a model a few photos, to its gallery or to train on"),
    "vocabularies": (vocabularies, "train on two vocabularies together, and on one alone"),
    "views": (views, "train on photos of two vocabularies, test in all views of their graph"),
    "recipe": (recipe, "train the shipped model's stages on folds of its photos"),
    "held-out": (held_out, "test on parts that no training photo supervises"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the experiments; :func:`run` executes what was chosen."""
    actions = parser.add_subparsers(required=True, metavar="EXPERIMENT")
    for name, (experiment, summary) in _EXPERIMENTS.items():
        action = actions.add_parser(
            name,
            help=summary,
            description=f"{summary.capitalize()}. The same command goes on where it was "
            "interrupted and repeats no finished run. docs/benchmarks.md says more.",
            **examples(*_EXAMPLES[name]),
        )
        action.set_defaults(run=experiment.run)
        experiment.add_arguments(action)
        usual = "of each training"
        if action.get_default("iterations") is None:
            usual += " (default: as the config says)"
        action.add_argument("--iterations", type=count, metavar="N", help=usual)
        folder = Path("output/bench", name)
        add_output_argument(action, "gets table.md, results.json and the runs", default=folder)
        several = "trainings at a time, which share GPUs and CPU threads"
        action.add_argument("--parallel", type=count, default=1, metavar="N", help=several)
        last = "config options of all runs; after a list of names write -- before them"
        action.add_argument("opts", nargs="*", metavar="KEY VALUE", help=last)


def run(args: argparse.Namespace) -> None:
    """Do what :func:`add_arguments` has parsed.

    Raises:
        SAVError: something the user can mend.
    """
    check_folder(args.output)
    args.run(args)
