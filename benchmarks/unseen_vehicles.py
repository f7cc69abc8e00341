"""What a gallery gives where the weights lack knowledge.

A model learns from sedans, hatchbacks and SUVs. Pickups and vans, which it never saw in training,
are then put into its gallery, and it is asked for the parts of others of their kind; no weight
changes::

    python benchmarks/unseen_vehicles.py --iterations 2000 --seeds 3 --output output/bench/unseen

Rows: no gallery; the training vehicles; pickups and vans; both; and as many random vehicles of both
in place of the similar ones.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from tabulate import tabulate

from sav.config import load_config
from sav.d2 import inference_on_dataset
from sav.data import register_part_datasets
from sav.engine.evaluate import test_set
from sav.engine.gallery import build_gallery
from sav.engine.trainer import Trainer
from sav.errors import run_command
from sav.modeling.weights import load_weights
from sav.retrieval import Gallery, Photo
from sav.synthetic import generate_dataset

REPOSITORY = Path(__file__).parents[1]
KNOWN = ("sedan", "hatchback", "suv")
UNSEEN = ("pickup", "van")
GALLERIES = {
    "no gallery": (),
    "training vehicles": ("known_train",),
    "pickups and vans": ("unseen_train",),
    "both": ("known_train", "unseen_train"),
    "random ones of both": ("known_train", "unseen_train"),
}
FIGURES = (("parts", "mIoU"), ("segm", "AP"), ("segm", "AP50"), ("parts", "side_confusion"))


class RandomNeighbours(Gallery):
    """A gallery whose search finds any vehicles but the forbidden ones."""

    def search(
        self, descriptors: torch.Tensor, count: int, exclude: Sequence[Photo | None]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See :meth:`Gallery.search`."""
        generator = torch.Generator().manual_seed(len(self))
        found = torch.rand(descriptors.shape, generator=generator) - 0.5
        every, _ = super().search(found, len(self), exclude)
        order = torch.rand(every.shape, generator=generator).masked_fill(every < 0, -1).argsort(1)
        return every.gather(1, order.flip(1)[:, :count]), torch.zeros(len(every), count)


def make_data(root: Path) -> Path:
    """Render and convert both sets; returns the config."""
    sets = {"known": (KNOWN, 2000, 100, 11), "unseen": (UNSEEN, 200, 200, 12)}
    for name, (bodies, train, valid, seed) in sets.items():
        splits = {"train": train, "valid": valid}
        generate_dataset(root / name, splits=splits, seed=seed, bodies=bodies)
        script = REPOSITORY / "datasets" / "prepare_vehicleseg10k.py"
        subprocess.run([sys.executable, str(script), "--root", str(root / name)], check=True)
    parts = {
        f"{name}_{split}": f"{name}/coco/instances_{split}.json"
        for name in sets
        for split in ("train", "valid")
    }
    config = {
        "_BASE_": str(REPOSITORY / "configs" / "Base-SAV-Tiny.yaml"),
        "DATASETS": {"ROOT": str(root), "PARTS": parts, "TRAIN": ["known_train"], "TEST": []},
    }
    path = root / "known.yaml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    return path


def evaluate(config: Path, run: Path) -> Iterator[tuple[str, str, list[float]]]:
    """Test set, gallery and figures of a run, for every gallery."""
    cfg = load_config(config, ["OUTPUT_DIR", str(run / "evaluation")])
    register_part_datasets(cfg)
    model = Trainer.build_model(cfg).eval()
    load_weights(model, run / "model_final.safetensors")
    for data_set in ("known_valid", "unseen_valid"):
        cfg.DATASETS.TEST = (data_set,)
        for title, names in GALLERIES.items():
            cfg.DATASETS.TRAIN = names
            kind = RandomNeighbours if title.startswith("random") else Gallery
            model.gallery = build_gallery(cfg, model, kind(model.gallery_fingerprint()))
            results = inference_on_dataset(model, *test_set(cfg, data_set))
            yield data_set, title, [results[task][name] for task, name in FIGURES]


def main() -> None:
    """Make the data, train once a seed, evaluate with every gallery, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="trainings; default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("output/bench/unseen"))
    args = parser.parse_args()
    config = make_data(args.output / "data")
    script = REPOSITORY / "projects" / "SAV" / "train_net.py"
    found: dict[tuple[str, str], list[list[float]]] = {}
    for seed in range(args.seeds):
        run = args.output / f"seed{seed}"
        options = ["OUTPUT_DIR", str(run), "SOLVER.MAX_ITER", str(args.iterations)]
        command = [sys.executable, str(script), "--config-file", str(config), "--resume", *options]
        subprocess.run([*command, "SEED", str(seed)], check=True)
        for data_set, title, figures in evaluate(config, run):
            found.setdefault((data_set, title), []).append(figures)
    rows = [
        [*key, *(f"{m:.1f} ± {s:.1f}" for m, s in zip(np.mean(v, 0), np.std(v, 0), strict=True))]
        for key, v in found.items()
    ]
    table = tabulate(rows, ["photos", "gallery", "mIoU", "mask AP", "AP50", "side confusion"])
    sys.stdout.write(f"{table}\n")
    figures = {" / ".join(key): values for key, values in found.items()}
    (args.output / "unseen.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    run_command(main)
