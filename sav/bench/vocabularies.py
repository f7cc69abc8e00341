"""``sav bench vocabularies``: one model on two vocabularies against one on the first alone."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path

from sav.bench.folds import fold_options
from sav.bench.runs import (
    Jobs,
    add_config_argument,
    count,
    data_set_options,
    shared_options,
    train_all,
)
from sav.bench.tables import all_figures, compare, publish
from sav.config import load_config
from sav.d2 import CfgNode
from sav.errors import SAVError
from sav.formats.coco import read_coco
from sav.ontology import load_ontology

ALONE = "alone"
JOINT = "joint"

OWN_SHARES = (0.1, 0.9)
"""Of the photos that the joint training sees, those of the vocabulary that is tested: at the
beginning and at the end. What is common to both is learned from the others first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are this experiment's own."""
    add_config_argument(parser)
    added = "config whose training sets and vocabulary are added"
    parser.add_argument(
        "--with", dest="other", type=Path, required=True, metavar="FILE", help=added
    )
    folds = "cut all photos of --config-file, train on the others, test on each"
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
        f"that '{JOINT}' sees, {OWN_SHARES[0]:.0%} are of the vocabulary that is tested at first, "
        f"and {OWN_SHARES[1]:.0%} at last."
    )
    publish(args.output, f"{compare('training', rows, ALONE)} {note}", rows)


def plan(args: argparse.Namespace) -> Jobs:
    """What is to be trained on each fold's complement."""
    shared = shared_options(args)
    other = load_config(args.other)
    cfg = load_config(args.config_file, shared)
    _check_apart(cfg, other)
    jobs = {}
    for name, options in fold_options(cfg, args.folds, args.output / "folds", args.photos).items():
        alone = [*shared, *options]
        joint = [*alone, *joint_options(load_config(args.config_file, alone), other)]
        jobs |= {(ALONE, name): alone, (JOINT, name): joint}
    return jobs


def _check_apart(cfg: CfgNode, other: CfgNode) -> None:
    """Refuse photos of --with that are tested on, and two data sets of one name."""
    own = _files(cfg, (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))
    for name, file in _files(other, other.DATASETS.TRAIN).items():
        if name in own or file in own.values():
            raise SAVError(
                f"--with: data set '{name}' ({file}) is one of --config-file; leave it out, or "
                "what is trained on would be tested on"
            )


def joint_options(cfg: CfgNode, other: CfgNode) -> list[str]:
    """Config options that add the training photos of another vocabulary.

    Args:
        cfg: of the vocabulary that is tested.
        other: its DATASETS.TRAIN are added.

    Raises:
        SAVError: the two vocabularies are of different graphs.
    """
    sources = [one.MODEL.SAV.ONTOLOGY for one in (cfg, other)]
    ontologies = [*map(load_ontology, sources)]
    graphs = {ontology.view_of or ontology.name for ontology in ontologies}
    if len(graphs) > 1:
        names = f"{cfg.MODEL.SAV.ONTOLOGY} and {other.MODEL.SAV.ONTOLOGY}"
        raise SAVError(f"--with: {names} are not of one graph of parts")
    itself = (s for s, o in zip(sources, ontologies, strict=True) if not o.view_of)
    own_files, other_files = (_files(one, one.DATASETS.TRAIN) for one in (cfg, other))
    shares = _shares(own_files.values(), OWN_SHARES)
    shares += _shares(other_files.values(), OWN_SHARES[::-1])
    return [
        *data_set_options(other_files),
        *("DATASETS.TRAIN", str((*own_files, *other_files))),
        *("DATASETS.TRAIN_SHARES", str(tuple(shares))),
        *("MODEL.SAV.ONTOLOGY", next(itself, graphs.pop())),
    ]


def _shares(files: Collection[Path], together: Sequence[float]) -> list[tuple[float, ...]]:
    """What each data set has of the share of all, at the beginning and at the end."""
    photos = [len(read_coco(file)["images"]) for file in files]
    return [tuple(share * count / sum(photos) for share in together) for count in photos]


def _files(cfg: CfgNode, names: Sequence[str]) -> dict[str, Path]:
    root = Path(cfg.DATASETS.ROOT)
    return {name: (root / cfg.DATASETS.PARTS[name]).resolve() for name in names}
