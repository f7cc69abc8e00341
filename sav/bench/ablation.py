"""``sav bench ablation``: what each component gives."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sav.bench.folds import fold_options
from sav.bench.runs import (
    Jobs,
    add_config_argument,
    add_seeds_argument,
    count,
    load_trained,
    seed_options,
    shared_options,
    train_all,
)
from sav.bench.tables import all_figures, compare, publish
from sav.config import load_config
from sav.engine.evaluate import evaluate
from sav.errors import SAVError
from sav.evaluation.results import Results
from sav.run_folder import RESULTS_FILE

REFERENCE = "full"
NO_GALLERY = "no-gallery"
VARIANTS: dict[str, tuple[str, ...]] = {
    REFERENCE: (),
    "no-graph": ("MODEL.SAV.GRAPH.ENABLED", "False"),
    "no-context": ("MODEL.SAV.CONTEXT.ENABLED", "False"),
    "neither": ("MODEL.SAV.GRAPH.ENABLED", "False", "MODEL.SAV.CONTEXT.ENABLED", "False"),
    "prompts": ("MODEL.SAV.CONTEXT.FUSION", "prompts"),
    "both": ("MODEL.SAV.CONTEXT.FUSION", "both"),
    "text-only": ("MODEL.SAV.GRAPH.LAYERS", "0"),
    "random-neighbours": ("EXPERIMENT.RANDOM_NEIGHBOURS", "True"),
    "no-flip-swap": ("EXPERIMENT.NAIVE_FLIP", "True"),
    "no-presence-loss": ("MODEL.SAV.LOSS.PRESENCE", "0.0"),
    "one-slot": ("MODEL.SAV.MAX_SLOTS", "1"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are this experiment's own."""
    add_config_argument(parser)
    every = (
        f"some of {', '.join(VARIANTS)}, or {NO_GALLERY}, the full model without its gallery; "
        f"default: all. {REFERENCE} is always one of them"
    )
    parser.add_argument("--variants", nargs="+", metavar="NAME", help=every)
    repeats = parser.add_mutually_exclusive_group()
    add_seeds_argument(repeats)
    folds = "instead of seeds: cut all photos into N folds, train on the others, test on each"
    repeats.add_argument("--folds", type=count, metavar="N", help=folds)


def run(args: argparse.Namespace) -> None:
    """Train each variant once a seed or fold, and compare it with the full model."""
    trained = train_all(args.config_file, args.output, plan(args), parallel=args.parallel)
    if not args.variants or NO_GALLERY in args.variants:
        runs = trained[REFERENCE]
        trained[NO_GALLERY] = {run: _without_gallery(args.output / REFERENCE / run) for run in runs}
    rows = all_figures(trained)
    publish(args.output, compare("variant", rows, REFERENCE), rows)


def plan(args: argparse.Namespace) -> Jobs:
    """What is to be trained; the full model is always part of it."""
    chosen = dict.fromkeys((REFERENCE, *(args.variants or VARIANTS)))
    chosen.pop(NO_GALLERY, None)
    for variant in chosen:
        if variant not in VARIANTS:
            known = ", ".join((*VARIANTS, NO_GALLERY))
            raise SAVError(f"variant '{variant}': not known; choose some of {known}")
    shared = shared_options(args)
    if args.folds:
        cfg = load_config(args.config_file, shared)
        repeats = fold_options(cfg, args.folds, args.output / "folds")
    else:
        repeats = seed_options(args.seeds)
    return {
        (variant, name): [*shared, *VARIANTS[variant], *options]
        for name, options in repeats.items()
        for variant in chosen
    }


def _without_gallery(run: Path) -> Results:
    """Results of a finished training, with an empty gallery in its test."""
    output = run / NO_GALLERY
    if not (output / RESULTS_FILE).is_file():
        options = ["DATASETS.TRAIN", "()", "DATASETS.TRAIN_SHARES", "()", "OUTPUT_DIR", str(output)]
        evaluate(*load_trained(run, options))
    return json.loads((output / RESULTS_FILE).read_text("utf-8"))
