"""``sav bench photos``: what a few annotated photos give a model that has not seen them.

They enter its gallery, or it is trained on them, or both. It is tested on the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sav.bench.folds import PhotoPool, vehicle_of_each
from sav.bench.runs import (
    add_config_argument,
    add_seeds_argument,
    count,
    data_set_options,
    load_trained,
    seed_options,
    shared_options,
    train_all,
)
from sav.bench.tables import all_figures, compare, publish
from sav.config import load_config
from sav.engine.evaluate import evaluate
from sav.engine.gallery import build_gallery
from sav.errors import SAVError
from sav.evaluation.results import Results
from sav.run_folder import CONFIG_FILE, WEIGHTS_FILE

REFERENCE = "as it is"
GALLERY = "gallery of the photos"
TRAINED = "fine-tuned"
BOTH = "fine-tuned, and their gallery"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are this experiment's own."""
    model = "run folder of a model that has not seen the photos"
    parser.add_argument("--model", type=Path, required=True, metavar="RUN_FOLDER", help=model)
    file = "part annotation file of all photos, as 'sav prepare' writes it"
    names, options = ("--annotations", "--json"), {"dest": "json", "required": True}
    parser.add_argument(*names, type=Path, metavar="FILE", help=file, **options)
    photos = "to learn from, drawn by the run's seed; the others are tested on"
    parser.add_argument("--photos", type=count, default=20, metavar="N", help=photos)
    add_config_argument(parser, default="configs/photos/Finetune.yaml")
    add_seeds_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Train on the photos of each seed, and test with and without training and gallery."""
    options = {name: [*shared_options(args), *draw] for name, draw in _draws(args).items()}
    start = ["MODEL.WEIGHTS", str(args.model / WEIGHTS_FILE)]
    jobs = {
        (TRAINED, name): [*options[name], *start, *seed]
        for name, seed in seed_options(args.seeds).items()
    }
    trained = train_all(args.config_file, args.output, jobs, parallel=args.parallel)
    found: dict[str, dict[str, Results]] = {REFERENCE: {}, GALLERY: {}, TRAINED: {}}
    for name, words in tqdm(options.items(), desc="tests", unit="draw"):
        tuned = args.output / TRAINED / name
        for row, model in ((REFERENCE, args.model), (GALLERY, args.model), (TRAINED, tuned)):
            folder = args.output / "tests" / row.replace(" ", "-") / name
            found[row][name] = _test(model, folder, words, gallery=row == GALLERY)
    # A training builds the gallery of its photos itself.
    rows = all_figures({**found, BOTH: trained[TRAINED]})
    note = f"{args.photos} photos, drawn by the run's seed; tested on those of other vehicles."
    publish(args.output, f"{compare('model', rows, REFERENCE)} {note}", rows)


def _draws(args: argparse.Namespace) -> dict[str, list[str]]:
    """By run, the config options that name the photos to learn from and those to test on."""
    every = _data_options({"photos": args.json.resolve()}, train=("photos",), test=())
    options = [*shared_options(args), *every]
    cfg = load_config(args.model / CONFIG_FILE, options)
    if not cfg.MODEL.SAV.CONTEXT.ENABLED:
        raise SAVError(f"--model {args.model}: it has no gallery (MODEL.SAV.CONTEXT.ENABLED)")
    pool = PhotoPool.of(cfg)
    vehicles = vehicle_of_each(pool.photos)
    draws = {}
    for seed, name in enumerate(seed_options(args.seeds)):
        chosen = np.random.default_rng(seed).permutation(len(vehicles))[: args.photos]
        # Another photo of a vehicle that it has learned from would be too easy.
        others = np.flatnonzero(~np.isin(vehicles, vehicles[chosen]))
        if not len(others):
            raise SAVError(
                f"--photos {args.photos}: {args.json} has {len(vehicles)}, and none of another "
                "vehicle is left to test on; give fewer"
            )
        sets = {f"{name}_photos": np.sort(chosen), f"{name}_others": others}
        files = {data: (args.output / "data" / f"{data}.json").resolve() for data in sets}
        for data, rows in sets.items():
            pool.write(files[data], rows)
        draws[name] = _data_options(files, train=tuple(files)[:1], test=tuple(files)[1:])
    return draws


def _data_options(
    files: Mapping[str, Path], train: tuple[str, ...], test: tuple[str, ...]
) -> list[str]:
    return [
        *data_set_options(files),
        *("DATASETS.TRAIN", str(train), "DATASETS.TRAIN_SHARES", "()"),
        *("DATASETS.TEST", str(test)),
    ]


def _test(run: Path, output: Path, options: Sequence[str], *, gallery: bool) -> Results:
    """Results of a run folder's model, with a gallery of DATASETS.TRAIN or an empty one."""
    cfg, model = load_trained(run, [*options, "OUTPUT_DIR", str(output)])
    if gallery:
        model.context.gallery = build_gallery(cfg, model)
    return evaluate(cfg, model)
