"""``sav bench recipe``: a recipe of several stages on folds of some of its data.

The shipped model has seen all of its photos. The same stages on the other folds, in fewer
iterations, say what such a recipe gives on photos that it has not seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from sav.bench.folds import fold_options
from sav.bench.runs import count, data_set_options, shared_options, train_all
from sav.bench.tables import all_figures, compare, publish
from sav.config import load_config
from sav.d2 import CfgNode
from sav.errors import SAVError
from sav.run_folder import WEIGHTS_FILE
from sav.synthetic.plated import NAME as PLATED
from sav.synthetic.plated import write_plated

_CONFIGS = ("SAV-EffNetLite0.yaml", "SAV-EffNetLite0-288.yaml", "SAV-EffNetLite0-far.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are this experiment's own."""
    default = [Path("configs/vehicle", name) for name in _CONFIGS]
    stages = "of the stages, each of which starts from the weights of the one before"
    options = {"nargs": "+", "type": Path, "metavar": "FILE", "default": default}
    parser.add_argument("--config-files", help=stages, **options)
    parser.add_argument("--folds", type=count, default=3, metavar="N", help="to cut photos into")
    folded = "data sets whose photos are cut into folds (default: dsmlr_all)"
    default = ["dsmlr_all"]
    parser.add_argument("--folded", nargs="+", metavar="NAME", default=default, help=folded)
    plated = "data set that is DSMLR's photos with plates, and is made anew of each fold"
    parser.add_argument("--plated", metavar="NAME", default="dsmlr_plates_train", help=plated)


def run(args: argparse.Namespace) -> None:
    """Train each stage on each fold, and compare it with the first one."""
    folds = cut(args)
    trained, before = {}, None
    for number, config_file in enumerate(args.config_files, start=1):
        stage = f"stage {number}"
        jobs = {}
        for fold in folds:
            options = stage_options(args, config_file, folds, fold)
            if before:
                options += ["MODEL.WEIGHTS", str(args.output / before / fold / WEIGHTS_FILE)]
            jobs[stage, fold] = options
        trained |= train_all(config_file, args.output, jobs, parallel=args.parallel)
        before = stage
    rows = all_figures(trained)
    publish(args.output, compare("after", rows, "stage 1"), rows)


def cut(args: argparse.Namespace) -> list[str]:
    """Write the folds' annotation files; their names."""
    folded = ["DATASETS.TRAIN", str(tuple(args.folded)), "DATASETS.TRAIN_SHARES", "()"]
    options = [*shared_options(args), *folded, "DATASETS.TEST", "()"]
    cfg = load_config(args.config_files[0], options)
    return [*fold_options(cfg, args.folds, args.output / "folds")]


def stage_options(
    args: argparse.Namespace, config_file: Path, folds: Sequence[str], fold: str
) -> list[str]:
    """The config options of a stage that is tested on one fold.

    The other folds take the place of the data sets that are folded, and these with plates that of
    the plated one, with their shares of the training photos.

    Raises:
        SAVError: the stage trains on none of them, or has no shares.
    """
    shared = shared_options(args)
    cfg = load_config(config_file, shared)
    names = cfg.DATASETS.TRAIN
    if not set(names) & set(args.folded) or len(cfg.DATASETS.TRAIN_SHARES) != len(names):
        raise SAVError(
            f"{config_file}: DATASETS.TRAIN has none of --folded {' '.join(args.folded)}, or no "
            "DATASETS.TRAIN_SHARES"
        )
    folder = (args.output / "folds").resolve()
    files = {name: folder / f"{name}.json" for name in folds}
    others = [name for name in folds if name != fold]
    places = dict.fromkeys(args.folded, others)
    views: list[str] = []
    if args.plated in names:
        plates = {f"{name}_plates": _plate(files[name], folder) for name in others}
        files |= plates
        places[args.plated] = [*plates]
        view = next(iter(plates.values())).parent / f"{PLATED}.yaml"
        views = ["MODEL.SAV.VIEWS", str((str(view),))]
    mixture = _mixture(cfg, places)
    return [
        *shared,
        *data_set_options(files),
        *("DATASETS.TRAIN", str(tuple(mixture))),
        *("DATASETS.TRAIN_SHARES", str(tuple(mixture.values()))),
        *("DATASETS.TEST", str((fold,))),
        *views,
    ]


def _mixture(cfg: CfgNode, places: Mapping[str, Sequence[str]]) -> dict[str, tuple[float, ...]]:
    """The shares of the training's data sets, some of which share theirs out to others."""
    mixture: dict[str, tuple[float, ...]] = {}
    for name, ends in zip(cfg.DATASETS.TRAIN, cfg.DATASETS.TRAIN_SHARES, strict=True):
        parts = places.get(name, [name])
        for part in parts:
            before = mixture.get(part, (0.0, 0.0))
            mixture[part] = tuple(a + b / len(parts) for a, b in zip(before, ends, strict=True))
    return mixture


def _plate(fold: Path, folder: Path) -> Path:
    """The annotations of a fold's photos with plates, made unless they are there."""
    file = folder / f"{fold.stem}_plates" / "instances_train.json"
    if not file.is_file():  # written last
        write_plated(fold, file.parent)
    return file
