"""Data for ``sav bench unseen``: vehicles that no weight has seen, and some that all have."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sav.bench.folds import PhotoPool, assign_folds
from sav.bench.rendered import render
from sav.bench.runs import data_set_options
from sav.d2 import CfgNode
from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.coco import read_coco
from sav.ontology import load_ontology

FEW = 20
KNOWN_SET = "known_train"
FEW_SET, MANY_SET = "unseen_few", "unseen_many"
UNSEEN, KNOWN = "unseen_test", "known_test"

_BODIES = {"known": ("sedan", "hatchback", "suv"), "unseen": ("pickup", "van")}
_RENDERED = {
    KNOWN_SET: ("known", "train"),
    KNOWN: ("known", "valid"),
    MANY_SET: ("unseen", "train"),
    UNSEEN: ("unseen", "valid"),
    FEW_SET: ("unseen", "few"),
}
_FOLDS = 6  # of the photos without the class; one is to test


def render_types(root: Path, sizes: list[int]) -> list[str]:
    """Render and convert both kinds of vehicles, unless they are there.

    Args:
        root: folder of the data sets.
        sizes: photos of known types to train on and to test on, and of unseen types for the gallery
            and to test on.

    Returns:
        the config options that name the data sets.
    """
    for number, (kind, bodies) in enumerate(_BODIES.items()):
        splits = dict(zip(("train", "valid"), sizes[2 * number : 2 * number + 2], strict=True))
        render(root / kind, splits, seed=11 + 2 * number, bodies=bodies)
    _write_few(root / "unseen" / "coco")
    files = {
        name: f"{kind}/coco/instances_{split}.json" for name, (kind, split) in _RENDERED.items()
    }
    return _options(root, files)


def _write_few(coco: Path) -> None:
    """A data set of the first training photos alone."""
    contents = read_coco(coco / "instances_train.json")
    images = contents["images"][:FEW]
    ids = {image["id"] for image in images}
    annotations = [a for a in contents["annotations"] if a["image_id"] in ids]
    few = {**contents, "images": images, "annotations": annotations}
    write_atomic(coco / "instances_few.json", json.dumps(few))


def hold_out_class(cfg: CfgNode, name: str, root: Path) -> list[str]:
    """Take all photos that show a class for unseen ones; the others are known.

    Args:
        cfg: names the data sets, all of one vocabulary.
        name: of the class.
        root: folder of the part annotation files.

    Returns:
        the config options that name the data sets.

    Raises:
        SAVError: too few photos show the class, or too few do not.
    """
    pool = PhotoPool.of(cfg)
    class_id = load_ontology(cfg.MODEL.SAV.ONTOLOGY).class_id(name) + 1
    shows = np.array([any(a["category_id"] == class_id for a in one) for one in pool.annotations])
    unseen, others = np.flatnonzero(shows), np.flatnonzero(~shows)
    if len(unseen) <= FEW:
        raise SAVError(f"--class {name}: {len(unseen)} photos show it; more than {FEW} are needed")
    unseen = np.random.default_rng(0).permutation(unseen)
    fold = assign_folds([pool.photos[row] for row in others], _FOLDS)
    chosen = {
        KNOWN_SET: others[fold > 0],
        KNOWN: others[fold == 0],
        FEW_SET: unseen[:FEW],
        UNSEEN: unseen[FEW:],
    }
    for part, rows in chosen.items():
        pool.write(root / f"{part}.json", np.sort(rows))
    return _options(root, {part: f"{part}.json" for part in chosen})


def _options(root: Path, files: dict[str, str]) -> list[str]:
    # Full paths: the config's own data sets stay where DATASETS.ROOT says.
    folder = root.resolve()
    return data_set_options({name: folder / file for name, file in files.items()})
