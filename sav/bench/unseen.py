"""``sav bench unseen``: what a gallery gives for vehicles that no weight knows.

A model learns from known vehicles. Annotated ones of other types, which it never saw in training,
are then put into its gallery, and it is asked for the parts of others of their kind. No weight
changes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from sav.bench import unseen_data as data
from sav.bench.galleries import OracleGallery, PermutedGallery, RandomGallery
from sav.bench.runs import (
    add_config_argument,
    add_seeds_argument,
    count,
    load_trained,
    seed_options,
    shared_options,
    train_all,
)
from sav.bench.tables import Figures, compare, figures, publish
from sav.config import load_config
from sav.d2 import CfgNode
from sav.engine.evaluate import evaluate
from sav.engine.gallery import build_gallery
from sav.evaluation.results import Results
from sav.gallery.store import Gallery
from sav.modeling.context.module import FUSIONS
from sav.modeling.meta_arch import SAV
from sav.modeling.weights import gallery_fingerprint
from sav.run_folder import CONFIG_FILE, RESULTS_FILE

REFERENCE = "none"
GALLERIES: dict[str, tuple[tuple[str, ...], type[Gallery]]] = {
    "few of the unseen": ((data.FEW_SET,), Gallery),
    "many of the unseen": ((data.MANY_SET,), Gallery),
    "random ones of these": ((data.MANY_SET,), RandomGallery),
    "these, classes permuted": ((data.MANY_SET,), PermutedGallery),
    "the photo itself": ((data.UNSEEN, data.KNOWN), OracleGallery),
    "training vehicles": ((data.KNOWN_SET,), Gallery),
}
PHOTOS = {
    data.UNSEEN: "Photos of unseen vehicles",
    data.KNOWN: "Photos of known vehicles",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are this experiment's own."""
    add_config_argument(parser, default="configs/synthetic/SAV-Tiny.yaml")
    add_seeds_argument(parser)
    parser.set_defaults(iterations=1000)
    source = parser.add_mutually_exclusive_group()
    sizes = (
        "photos to render: of known types (sedans, hatchbacks, SUVs) to train on and to test on, "
        "of unseen types (pickups, vans) for the gallery and to test on"
    )
    defaults, words = [2000, 100, 200, 200], {"type": count, "metavar": "N", "help": sizes}
    source.add_argument("--sizes", nargs=4, default=defaults, **words)
    unseen = "unseen are the photos of the config's data sets that show this class"
    source.add_argument("--class", dest="class_name", metavar="NAME", help=unseen)


def run(args: argparse.Namespace) -> None:
    """Make the data, train each fusion once a seed, and evaluate with every gallery."""
    shared = shared_options(args)
    cfg = load_config(args.config_file, shared)  # a mistake shows before anything is rendered
    folder = args.output / "data"
    if args.class_name:
        shared += data.hold_out_class(cfg, args.class_name, folder)
    else:
        shared += data.render_types(folder, args.sizes)
    shared += ["DATASETS.TRAIN", str((data.KNOWN_SET,)), "DATASETS.TEST", "()"]
    jobs = {
        (fusion, name): [*shared, "MODEL.SAV.CONTEXT.FUSION", fusion, *seed]
        for name, seed in seed_options(args.seeds).items()
        for fusion in FUSIONS
    }
    train_all(args.config_file, args.output, jobs, parallel=args.parallel)
    found: dict[str, dict[str, dict[str, dict[str, Figures]]]] = {
        photos: {fusion: {} for fusion in FUSIONS} for photos in PHOTOS
    }
    for fusion, name in jobs:
        for gallery, results in evaluate_galleries(args.output / fusion / name).items():
            for photos, fusions in found.items():
                fusions[fusion].setdefault(gallery, {})[name] = figures(results, photos)
    blocks = [
        f"{title}, fusion '{fusion}':\n\n{compare('gallery', rows, REFERENCE)}"
        for photos, title in PHOTOS.items()
        for fusion, rows in found[photos].items()
    ]
    publish(args.output, "\n\n".join(blocks), found)


def evaluate_galleries(folder: Path) -> dict[str, Results]:
    """Results of a finished training on both kinds of photos, with every gallery."""
    found, model, gallery = {}, None, None
    for name, (vehicles, kind) in tqdm(_galleries(folder).items(), desc=f"galleries of {folder}"):
        output = folder / "galleries" / name.replace(" ", "-").replace(",", "")
        if not (output / RESULTS_FILE).is_file():
            options = ["DATASETS.TRAIN", "()", "DATASETS.TRAIN_SHARES", "()"]
            options += ["DATASETS.TEST", str(tuple(PHOTOS)), "OUTPUT_DIR", str(output)]
            if model is None:
                _, model = load_trained(folder, options)
                gallery = Gallery(gallery_fingerprint(model))
            cfg = load_config(folder / CONFIG_FILE, options)
            _exchange(model, gallery, cfg, vehicles)
            model.context.gallery = gallery if kind is Gallery else kind.of(gallery)
            evaluate(cfg, model)
        found[name] = json.loads((output / RESULTS_FILE).read_text("utf-8"))
    return found


def _galleries(folder: Path) -> dict[str, tuple[tuple[str, ...], type[Gallery]]]:
    """Those of which there are data sets; where there are not many of the unseen, few."""
    known = load_config(folder / CONFIG_FILE).DATASETS.PARTS
    galleries = {REFERENCE: ((), Gallery), **GALLERIES}
    if data.MANY_SET not in known:
        del galleries["many of the unseen"]
        for name, (vehicles, kind) in galleries.items():
            fewer = tuple(data.FEW_SET if v == data.MANY_SET else v for v in vehicles)
            galleries[name] = fewer, kind
    return galleries


def _exchange(model: SAV, gallery: Gallery, cfg: CfgNode, vehicles: tuple[str, ...]) -> None:
    """Leave in the gallery the vehicles of these data sets; those that are there stay."""
    there = set(gallery.sources)
    for name in there.difference(vehicles):
        gallery.remove_source(name)
    missing = cfg.clone()
    missing.defrost()
    missing.DATASETS.TRAIN = tuple(name for name in vehicles if name not in there)
    build_gallery(missing, model, gallery)
