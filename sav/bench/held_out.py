"""``sav bench held-out``: parts that no training photo supervises, known by the graph alone."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from sav.bench.runs import (
    add_config_argument,
    add_seeds_argument,
    seed_options,
    shared_options,
    train_all,
)
from sav.bench.tables import markdown, publish, runs_note, spread
from sav.config import load_config
from sav.d2 import CfgNode, DatasetCatalog
from sav.data.annotations import part_map_from_annotations
from sav.data.registration import register_part_datasets
from sav.evaluation.results import Results
from sav.ontology import load_ontology

HELD_OUT = "held-out"
SUPERVISED = "supervised"

METRICS = {"IoU": "parts", "AP": "segm"}
"""Of one class -> the task whose results have it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are this experiment's own."""
    add_config_argument(parser)
    names = "of the config's vocabulary, which no training photo supervises"
    parser.add_argument("--classes", nargs="+", required=True, metavar="NAME", help=names)
    add_seeds_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Train with and without some classes, and say how well they are found."""
    shared = shared_options(args)
    cfg = load_config(args.config_file, shared)
    classes = {name: load_ontology(cfg.MODEL.SAV.ONTOLOGY).class_id(name) for name in args.classes}
    # The annotations of neighbours would show what is held out.
    shared += ["MODEL.SAV.CONTEXT.ENABLED", "False"]
    trainings = {HELD_OUT: ["EXPERIMENT.HELD_OUT", str(tuple(classes))], SUPERVISED: []}
    jobs = {
        (row, run): [*shared, *options, *seed]
        for run, seed in seed_options(args.seeds).items()
        for row, options in trainings.items()
    }
    trained = train_all(args.config_file, args.output, jobs, parallel=args.parallel)
    test_set = cfg.DATASETS.TEST[0]
    by_chance = chance(cfg, test_set)
    rows = {
        name: {**_figures(trained, test_set, name), "chance": float(by_chance[class_id])}
        for name, class_id in classes.items()
    }
    table = markdown(
        ["class", "IoU by chance", *(f"{m}, {row}" for m in METRICS for row in trainings)],
        [[name, f"{row['chance']:.1f}", *_cells(row)] for name, row in rows.items()],
    )
    note = "By chance: every pixel of the vehicles is called that class."
    publish(args.output, f"{table}\n\n{runs_note(args.seeds)} {note}", rows)


def _figures(
    trained: Mapping[str, Mapping[str, Results]], test_set: str, name: str
) -> dict[str, dict[str, dict[str, float | None]]]:
    """One class's figures by metric, row and run."""
    return {
        metric: {
            row: {run: r[test_set][task].get(f"{metric}-{name}") for run, r in runs.items()}
            for row, runs in trained.items()
        }
        for metric, task in METRICS.items()
    }


def _cells(figures: Mapping[str, Any]) -> list[str]:
    return [spread(runs.values()) for metric in METRICS for runs in figures[metric].values()]


def chance(cfg: CfgNode, data_set: str) -> np.ndarray:
    """IoU of each class where all annotated pixels are called by its name, whatever they are.

    Args:
        cfg: lists the data set.
        data_set: one vocabulary's.

    Returns:
        (C,) float64 in percent: the class's share of the annotated pixels.
    """
    register_part_datasets(cfg)
    counts = np.zeros(256, dtype=np.int64)
    for record in tqdm(DatasetCatalog.get(data_set), desc="Chance level", disable=None):
        counts += np.bincount(part_map_from_annotations(record).ravel(), minlength=256)
    return 100 * counts[1:] / counts[1:].sum()
