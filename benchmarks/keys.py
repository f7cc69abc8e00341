"""How well neighbours fit, by the weight of a vehicle's appearance in its retrieval key.

The vehicles of DATASETS.TRAIN are the gallery, those of DATASETS.TEST are looked up in it. Their
eight nearest, weighed as the context module weighs them at first, make one layout; what counts is
how much of the annotated layout it has: the sum of what both share of each cell, divided by the sum
of what either has, mean over the parts that the vehicle shows. No training is needed.

Run with ``python benchmarks/keys.py --model RUN_FOLDER`` and KEY VALUE pairs of the config.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from tabulate import tabulate

from sav.config import load_config
from sav.data.registration import register_part_datasets
from sav.engine.gallery import build_gallery
from sav.engine.trainer import Trainer
from sav.gallery.exemplars import Neighbours, RetrievalKeys
from sav.gallery.store import Gallery
from sav.modeling.context.keys import join_keys, layout_key
from sav.modeling.weights import load_weights
from sav.process import run_command
from sav.run_folder import CONFIG_FILE, WEIGHTS_FILE

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
NEIGHBOURS = 8
SHARPNESS = 20.0  # about what the context module starts with


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, metavar="RUN_FOLDER")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE")
    args = parser.parse_args()
    # Of the appearance alone; the layout's part is made from the stored layouts.
    options = ["MODEL.SAV.CONTEXT.ENABLED", "True", "MODEL.SAV.CONTEXT.APPEARANCE", "1.0"]
    cfg = load_config(args.model / CONFIG_FILE, [*args.opts, *options])
    register_part_datasets(cfg)
    model = Trainer.build_model(cfg).eval()
    load_weights(model, args.model / WEIGHTS_FILE, adapt=True)
    known = _gallery(cfg, model, cfg.DATASETS.TRAIN)
    asked = _gallery(cfg, model, cfg.DATASETS.TEST)
    mirror_ids = model.context.retriever.mirror_ids
    rows = [[f"{w:.1f}", f"{100 * fit(known, asked, mirror_ids, w):.1f}"] for w in WEIGHTS]
    table = tabulate(rows, ["weight of appearance", "fit of the neighbours' layout"], "pipe")
    sys.stdout.write(f"{len(asked)} vehicles, {len(known)} in the gallery\n\n{table}\n")


def _gallery(cfg: object, model: object, names: tuple[str, ...]) -> Gallery:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATASETS.TRAIN = names
    return build_gallery(cfg, model)


def fit(known: Gallery, asked: Gallery, mirror_ids: torch.Tensor, weight: float) -> float:
    """See the text above, in [0, 1]."""
    searched = Gallery({})
    stored = known.exemplars
    stored.keys = _keys(known, weight).keys
    searched.update([*known.vehicles], stored)
    keys = _keys(asked, weight, mirror_ids)
    found = searched.neighbours(keys, NEIGHBOURS, [vehicle.photo for vehicle in asked.vehicles])
    return _shared(found, asked)


def _keys(gallery: Gallery, weight: float, mirror_ids: torch.Tensor | None = None) -> RetrievalKeys:
    layouts, look = gallery.exemplars.predicted_layouts / 255, gallery.exemplars.keys
    look = look[:, -256:]
    if mirror_ids is None:
        mirror_ids = torch.arange(layouts.shape[1])
    mirrored = layouts[:, mirror_ids].flip(-1)
    keys = (join_keys(layout_key(x), look, weight) for x in (layouts, mirrored))
    return RetrievalKeys(*keys, mirror_ids)


def _shared(found: Neighbours, asked: Gallery) -> float:
    similarity = (found.similarity * SHARPNESS).masked_fill(~found.exists, -torch.inf)
    guess = torch.einsum("bk,bkcij->bcij", similarity.softmax(1), found.layouts)
    truth = asked.exemplars.layouts / 255
    both = torch.minimum(guess, truth).sum((2, 3))
    either = torch.maximum(guess, truth).sum((2, 3))
    shown = asked.exemplars.present & (truth.sum((2, 3)) > 0)
    return float((both / either.clamp(min=1e-6))[shown].mean())


if __name__ == "__main__":
    run_command(main)
