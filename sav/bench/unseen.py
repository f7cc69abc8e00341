"""``sav bench unseen``: what a gallery gives for vehicles that no weight knows.

A base without context learns from known vehicles. On top of it, with its weights fixed, the fusion
with exemplars learns from others, where the base is wrong. Then annotated vehicles of unseen types
are put into the gallery, and others of their kind are tested. No weight changes.
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
    seed_options,
    shared_options,
    train_all,
)
from sav.bench.tables import Figures, compare, figures, publish
from sav.config import load_config
from sav.d2 import CfgNode
from sav.data.registration import register_part_datasets
from sav.engine.evaluate import evaluate
from sav.engine.gallery import build_gallery
from sav.engine.trainer import Trainer
from sav.evaluation.results import Results
from sav.gallery.store import Gallery
from sav.modeling.context.module import FUSIONS
from sav.modeling.meta_arch import SAV
from sav.modeling.weights import gallery_fingerprint, load_weights
from sav.run_folder import CONFIG_FILE, RESULTS_FILE, WEIGHTS_FILE

BASE = "base"
REFERENCE = "none"
GALLERIES: dict[str, tuple[tuple[str, ...], type[Gallery]]] = {
    "few of the unseen": ((data.FEW_SET,), Gallery),
    "many of the unseen": ((data.MANY_SET,), Gallery),
    "random ones of these": ((data.MANY_SET,), RandomGallery),
    "these, classes permuted": ((data.MANY_SET,), PermutedGallery),
    "the photo itself": ((data.UNSEEN, data.KNOWN), OracleGallery),
    "training vehicles": ((data.BASE_SET,), Gallery),
}
PHOTOS = {
    data.UNSEEN: "Photos of unseen vehicles",
    data.KNOWN: "Photos of known vehicles",
}
# Of the photos that the fusion learns from: those that the base knows, which teach when to leave
# it alone, and the others.
_SHARES = str(((0.5, 0.5), (0.5, 0.5)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are this experiment's own."""
    add_config_argument(parser, default="configs/synthetic/SAV-Tiny.yaml")
    add_seeds_argument(parser)
    parser.set_defaults(iterations=1000)
    words = {"type": count, "metavar": "N"}
    steps = "of the fusion's training; %(default)s"
    parser.add_argument("--fusion-iterations", default=600, help=steps, **words)
    source = parser.add_mutually_exclusive_group()
    sizes = (
        "photos to render: of known types (sedans, hatchbacks, SUVs) to train on and to test on, "
        "of others (trucks, buses) for the fusion to learn from, of unseen types (pickups, vans) "
        "for the gallery and to test on; %(default)s"
    )
    defaults = [2000, 100, 400, 200, 200]
    source.add_argument("--sizes", nargs=5, default=defaults, help=sizes, **words)
    unseen = "unseen are the photos of the config's data sets that show this class"
    source.add_argument("--class", dest="class_name", metavar="NAME", help=unseen)


def run(args: argparse.Namespace) -> None:
    """Make the data, train base and fusions once a seed, and evaluate with every gallery."""
    shared = shared_options(args)
    cfg = load_config(args.config_file, shared)  # a mistake shows before anything is rendered
    folder = args.output / "data"
    if args.class_name:
        shared += data.hold_out_class(cfg, args.class_name, folder)
    else:
        shared += data.render_types(folder, args.sizes)
    shared += ["DATASETS.TEST", "()"]
    seeds = seed_options(args.seeds)
    base = ["DATASETS.TRAIN", str((data.BASE_SET,)), "MODEL.SAV.CONTEXT.ENABLED", "False"]
    jobs = {(BASE, name): [*shared, *base, *seed] for name, seed in seeds.items()}
    train_all(args.config_file, args.output, jobs, parallel=args.parallel)
    jobs = {
        (fusion, name): [*shared, *_fusion_options(args, fusion, name), *seed]
        for name, seed in seeds.items()
        for fusion in FUSIONS
    }
    train_all(args.config_file, args.output, jobs, parallel=args.parallel)
    rows: dict[str, dict[str, dict[str, Figures]]] = {photos: {} for photos in PHOTOS}
    for fusion, name in jobs:
        for gallery, results in evaluate_galleries(args.output / fusion / name).items():
            row = REFERENCE if gallery == REFERENCE else f"{fusion}: {gallery}"
            for photos, galleries in rows.items():
                galleries.setdefault(row, {})[name] = figures(results, photos)
    blocks = [
        f"{title}:\n\n{compare('fusion: gallery', rows[photos], REFERENCE)}"
        for photos, title in PHOTOS.items()
    ]
    publish(args.output, "\n\n".join(blocks), rows)


def _fusion_options(args: argparse.Namespace, fusion: str, run: str) -> list[str]:
    """The config options that train a fusion on the base of the same run."""
    options = {
        "MODEL.WEIGHTS": str(args.output.resolve() / BASE / run / WEIGHTS_FILE),
        "MODEL.SAV.CONTEXT.FUSION": fusion,
        "MODEL.SAV.CONTEXT.SHARE": "1.0",
        "MODEL.SAV.CONTEXT.FOREIGN": "0.4",
        "SOLVER.TRAINED": "('context.',)",
        "SOLVER.MAX_ITER": str(args.fusion_iterations),
        "DATASETS.TRAIN": str((data.BASE_SET, data.FUSION_SET)),
        "DATASETS.TRAIN_SHARES": _SHARES,
    }
    return [word for pair in options.items() for word in pair]


def evaluate_galleries(folder: Path) -> dict[str, Results]:
    """Results of a finished training on both kinds of photos, with every gallery."""
    found, model, gallery = {}, None, None
    for name, (vehicles, kind) in tqdm(_galleries(folder).items(), desc=f"galleries of {folder}"):
        output = folder / "galleries" / name.replace(" ", "-").replace(",", "")
        if not (output / RESULTS_FILE).is_file():
            options = ["DATASETS.TRAIN", "()", "DATASETS.TRAIN_SHARES", "()"]
            options += ["DATASETS.TEST", str(tuple(PHOTOS)), "OUTPUT_DIR", str(output)]
            cfg = load_config(folder / CONFIG_FILE, options)
            register_part_datasets(cfg)
            if model is None:
                model = Trainer.build_model(cfg).eval()
                load_weights(model, folder / WEIGHTS_FILE)
                gallery = Gallery(gallery_fingerprint(model))
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
