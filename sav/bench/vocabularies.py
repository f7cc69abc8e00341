"""``sav bench vocabularies``: one model on two vocabularies against one on the first alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from sav.bench.folds import fold_options
from sav.bench.runs import Jobs, add_config_argument, count, shared_options, train_all
from sav.bench.tables import all_figures, compare, publish
from sav.config import load_config
from sav.d2 import CfgNode
from sav.data.coco_file import read_coco

ALONE = "alone"
JOINT = "joint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are this experiment's own."""
    add_config_argument(parser)
    added = "config whose training sets and vocabulary are added"
    parser.add_argument("--with", dest="other", type=Path, required=True, metavar="F", help=added)
    folds = "cut all photos of --config-file, train on the others, test on each; %(default)s"
    parser.add_argument("--folds", type=count, default=5, metavar="N", help=folds)
    photos = "of --config-file to train on, drawn from the other folds; all"
    parser.add_argument("--photos", type=count, metavar="N", help=photos)


def run(args: argparse.Namespace) -> None:
    """Train alone and jointly without each fold, and compare on the fold."""
    jobs = plan(args)
    rows = all_figures(train_all(args.config_file, args.output, jobs, parallel=args.parallel))
    cfg = load_config(args.config_file, jobs[JOINT, "fold0"])
    note = (
        f"Each of {cfg.SOLVER.MAX_ITER} iterations of {cfg.SOLVER.IMS_PER_BATCH} photos; of those "
        f"that '{JOINT}' sees, about half are of the vocabulary that is tested."
    )
    publish(args.output, f"{compare('training', rows, ALONE)} {note}", rows)


def plan(args: argparse.Namespace) -> Jobs:
    """What is to be trained on each fold's complement."""
    shared = shared_options(args)
    other = load_config(args.other)
    added = _count_photos(other)
    cfg = load_config(args.config_file, shared)
    folds = fold_options(cfg, args.folds, args.output / "folds", args.photos)
    jobs = {}
    for name, options in folds.items():
        alone = [*shared, *options]
        cfg = load_config(args.config_file, alone)
        repeats = max(1, round(added / _count_photos(cfg)))
        jobs |= {
            (ALONE, name): alone,
            (JOINT, name): [*alone, *joint_options(cfg, other, repeats)],
        }
    return jobs


def joint_options(cfg: CfgNode, other: CfgNode, repeats: int) -> list[str]:
    """Config options that add the training photos of another vocabulary.

    Args:
        cfg: of the vocabulary that is tested.
        other: its DATASETS.TRAIN and its vocabulary are added.
        repeats: how often the photos of ``cfg`` are listed.
    """
    parts = [(f"DATASETS.PARTS.{name}", str(file)) for name, file in _train_files(other)]
    return [
        *(word for pair in parts for word in pair),
        *("DATASETS.TRAIN", str(cfg.DATASETS.TRAIN * repeats + other.DATASETS.TRAIN)),
        *("MODEL.SAV.ONTOLOGY", f"{cfg.MODEL.SAV.ONTOLOGY}+{other.MODEL.SAV.ONTOLOGY}"),
    ]


def _count_photos(cfg: CfgNode) -> int:
    return sum(len(read_coco(file)["images"]) for _, file in _train_files(cfg))


def _train_files(cfg: CfgNode) -> list[tuple[str, Path]]:
    root = Path(cfg.DATASETS.ROOT)
    return [(name, (root / cfg.DATASETS.PARTS[name]).resolve()) for name in cfg.DATASETS.TRAIN]
