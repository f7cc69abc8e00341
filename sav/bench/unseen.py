"""``sav bench unseen``: what a gallery gives for types of vehicles that no weight knows.

A model learns from synthetic sedans, hatchbacks and SUVs. Annotated pickups and vans, which it
never saw in training, are then put into its gallery, and it is asked for the parts of others of
their kind. No weight changes.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

from tqdm import tqdm

from sav.bench.random_gallery import RandomGallery
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
from sav.files import write_atomic
from sav.formats.coco import read_coco
from sav.formats.vehicleseg10k import VehicleSegSource, convert_vehicleseg10k
from sav.gallery.store import Gallery
from sav.modeling.meta_arch import SAV
from sav.modeling.weights import gallery_fingerprint, load_weights
from sav.ontology import load_ontology
from sav.run_folder import CONFIG_FILE, RESULTS_FILE, WEIGHTS_FILE
from sav.synthetic import generate_dataset

BODIES = {"known": ("sedan", "hatchback", "suv"), "unseen": ("pickup", "van")}
FEW = 20
REFERENCE = "none"
RANDOM = "random pickups and vans"
GALLERIES: dict[str, tuple[str, ...]] = {
    REFERENCE: (),
    f"{FEW} pickups and vans": ("unseen_few",),
    "pickups and vans": ("unseen_train",),
    RANDOM: ("unseen_train",),
    "training vehicles": ("known_train",),
    f"training vehicles and {FEW}": ("known_train", "unseen_few"),
    "both": ("known_train", "unseen_train"),
}
PHOTOS = {
    "unseen_valid": "Photos of pickups and vans, which no training has seen",
    "known_valid": "Photos of sedans, hatchbacks and SUVs, as in training",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are this experiment's own."""
    add_config_argument(parser, default="configs/synthetic/SAV-Tiny.yaml")
    add_seeds_argument(parser)
    parser.set_defaults(iterations=2000)
    parser.add_argument(
        "--sizes",
        type=count,
        nargs=4,
        default=[2000, 100, 200, 200],
        metavar="N",
        help="photos of known types to train on and to test on, and of unseen types for the "
        "gallery and to test on; %(default)s",
    )


def run(args: argparse.Namespace) -> None:
    """Make the data, train once a seed, and evaluate with every gallery."""
    shared = shared_options(args)
    load_config(args.config_file, shared)  # a mistake shows before anything is rendered
    shared += make_data(args.output / "data", args.sizes)
    jobs = {("trained", name): [*shared, *seed] for name, seed in seed_options(args.seeds).items()}
    runs = train_all(args.config_file, args.output, jobs, parallel=args.parallel)["trained"]
    rows: dict[str, dict[str, dict[str, Figures]]] = {
        photos: {gallery: {} for gallery in GALLERIES} for photos in PHOTOS
    }
    for name in runs:
        for gallery, results in evaluate_galleries(args.output / "trained" / name).items():
            for photos, galleries in rows.items():
                galleries[gallery][name] = figures(results, photos)
    blocks = [
        f"{title}:\n\n{compare('gallery', rows[photos], REFERENCE)}"
        for photos, title in PHOTOS.items()
    ]
    publish(args.output, "\n\n".join(blocks), rows)


def make_data(root: Path, sizes: list[int]) -> list[str]:
    """Render and convert both kinds of vehicles, unless they are there.

    Args:
        root: folder of the data sets.
        sizes: photos of known ones for training and for testing, and the same of unseen ones.

    Returns:
        the config options for training.
    """
    parts = []
    for number, (kind, bodies) in enumerate(BODIES.items()):
        train, valid = sizes[2 * number : 2 * number + 2]
        splits = {"train": train, "valid": valid}
        generate_dataset(root / kind, splits=splits, seed=11 + number, bodies=bodies)
        coco = root / kind / "coco"
        source = VehicleSegSource(root / kind, load_ontology("vehicleseg10k"))
        with redirect_stdout(sys.stderr):
            convert_vehicleseg10k(source, coco, splits=list(splits))
        _write_few(coco)
        for split in (*splits, "few"):
            parts += [f"DATASETS.PARTS.{kind}_{split}", f"{kind}/coco/instances_{split}.json"]
    root_options = ["DATASETS.ROOT", str(root.resolve()), *parts]
    return [*root_options, "DATASETS.TRAIN", "('known_train',)", "DATASETS.TEST", "()"]


def _write_few(coco: Path) -> None:
    """A data set of the first training photos alone."""
    contents = read_coco(coco / "instances_train.json")
    images = contents["images"][:FEW]
    ids = {image["id"] for image in images}
    annotations = [a for a in contents["annotations"] if a["image_id"] in ids]
    few = {**contents, "images": images, "annotations": annotations}
    write_atomic(coco / "instances_few.json", json.dumps(few))


def evaluate_galleries(folder: Path) -> dict[str, Results]:
    """Results of a finished training on both kinds of photos, with every gallery."""
    found, model, gallery = {}, None, None
    for name, vehicles in tqdm(GALLERIES.items(), desc=f"galleries of {folder.name}"):
        output = folder / "galleries" / name.replace(" ", "-")
        if not (output / RESULTS_FILE).is_file():
            options = ["DATASETS.TRAIN", "()", "DATASETS.TEST", str(tuple(PHOTOS))]
            cfg = load_config(folder / CONFIG_FILE, [*options, "OUTPUT_DIR", str(output)])
            register_part_datasets(cfg)
            if model is None:
                model = Trainer.build_model(cfg).eval()
                load_weights(model, folder / WEIGHTS_FILE)
                gallery = Gallery(gallery_fingerprint(model))
            _exchange(model, gallery, cfg, vehicles)
            model.context.gallery = RandomGallery.of(gallery) if name == RANDOM else gallery
            evaluate(cfg, model)
        found[name] = json.loads((output / RESULTS_FILE).read_text("utf-8"))
    return found


def _exchange(model: SAV, gallery: Gallery, cfg: CfgNode, vehicles: tuple[str, ...]) -> None:
    """Leave in the gallery the vehicles of these data sets; those that are there stay."""
    there = set(gallery.sources)
    for name in there.difference(vehicles):
        gallery.remove_source(name)
    missing = cfg.clone()
    missing.defrost()
    missing.DATASETS.TRAIN = tuple(name for name in vehicles if name not in there)
    build_gallery(missing, model, gallery)
