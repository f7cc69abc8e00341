"""``sav bench held-out``: parts that no training photo teaches, known by the graph alone."""

from __future__ import annotations

import argparse

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
from sav.data import part_map_from_annotations, register_part_datasets
from sav.ontology import load_ontology


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are this experiment's own."""
    add_config_argument(parser)
    names = "of the config's vocabulary, which no training photo supervises"
    parser.add_argument("--classes", nargs="+", required=True, metavar="NAME", help=names)
    add_seeds_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Train without some classes, and say how well they are found."""
    shared = shared_options(args)
    cfg = load_config(args.config_file, shared)
    classes = {name: load_ontology(cfg.MODEL.SAV.ONTOLOGY).class_id(name) for name in args.classes}
    # The annotations of neighbours would show what is held out.
    held_out = [
        *("MODEL.SAV.HELD_OUT", str(tuple(classes))),
        *("MODEL.SAV.CONTEXT.ENABLED", "False"),
    ]
    jobs = {
        ("held-out", name): [*shared, *held_out, *seed]
        for name, seed in seed_options(args.seeds).items()
    }
    trained = train_all(args.config_file, args.output, jobs, parallel=args.parallel)["held-out"]
    test_set = cfg.DATASETS.TEST[0]
    by_chance = chance(cfg, test_set)
    rows = {
        name: {
            "IoU": {seed: r[test_set]["parts"][f"IoU-{name}"] for seed, r in trained.items()},
            "chance": float(by_chance[class_id]),
        }
        for name, class_id in classes.items()
    }
    lines = [
        [name, spread(row["IoU"].values()), f"{row['chance']:.1f}"] for name, row in rows.items()
    ]
    table = markdown(["class, held out of training", "IoU", "chance"], lines)
    note = "Chance: the IoU of calling every pixel of the vehicles that class."
    publish(args.output, f"{table}\n\n{runs_note(len(trained))} {note}", rows)


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
