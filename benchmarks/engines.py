"""Does a training come out the same on Detectron2 and on the built-in engine?

Trains twice with one config and one seed, and compares the order of the photos, every loss of every
step, the weights and ``results.json``. A third run begins on one engine, is interrupted, and goes
on on the other. Needs an environment with Detectron2 (docs/install.md)::

    python benchmarks/engines.py --iterations 300 --output output/bench/engines.json
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from sav.d2 import HookBase
from sav.engine.arguments import argument_parser
from sav.engine.run import setup
from sav.engine.trainer import Trainer
from sav.errors import SAVError
from sav.process import run_command
from sav.synthetic import generate_dataset

ENGINES = ("builtin", "detectron2")
REPOSITORY = Path(__file__).parents[1]
CONFIG = REPOSITORY / "configs" / "synthetic" / "SAV-Tiny.yaml"
LOSSES = 1e-5
"""Greatest relative difference that counts as the same loss."""


class Recorder(HookBase):
    """Writes down the photos and the losses of every step.

    Args:
        last: iteration after which it interrupts the run.
    """

    def __init__(self, last: int) -> None:
        self._last = last
        self.photos: list[list[str]] = []
        self.losses: list[dict[str, float]] = []

    def before_train(self) -> None:
        """Look at each batch on its way to the model."""
        self.trainer.sav.register_forward_pre_hook(self._see)

    def _see(self, model: torch.nn.Module, inputs: tuple[list[dict[str, Any]]]) -> None:
        if model.training:
            self.photos.append([item["photo_id"] for item in inputs[0]])

    def after_step(self) -> None:
        """Take the losses from the storage."""
        latest = self.trainer.storage.latest()
        self.losses.append({name: value for name, (value, _) in latest.items() if "loss" in name})
        if self.trainer.iter == self._last:
            raise KeyboardInterrupt


def train(last: int, options: list[str]) -> None:
    """Train on the engine of this process and leave ``record.json`` in OUTPUT_DIR."""
    cfg = setup(argument_parser().parse_args(["--config-file", str(CONFIG), *options]))
    trainer, recorder = Trainer(cfg), Recorder(last)
    trainer.register_hooks([recorder])
    trainer.resume_or_load(resume=True)
    with suppress(KeyboardInterrupt):
        trainer.train()
    record = {"photos": recorder.photos, "losses": recorder.losses}
    (Path(cfg.OUTPUT_DIR) / "record.json").write_text(json.dumps(record), "utf-8")


def start(engine: str, folder: Path, iterations: int, last: int | None = None) -> Path:
    """Run :func:`train` in a process with that engine; returns its folder."""
    options = ["DATASETS.ROOT", str(folder.parent), "OUTPUT_DIR", str(folder)]
    options += ["INPUT.SAV.SIZE", "64", "SOLVER.IMS_PER_BATCH", "8"]
    options += ["SOLVER.MAX_ITER", str(iterations)]
    options += ["SOLVER.CHECKPOINT_PERIOD", str(iterations // 2)]
    command = [sys.executable, __file__, "--train", str(last or iterations), *options]
    subprocess.run(command, check=True, env={**os.environ, "SAV_ENGINE": engine})
    return folder


def loads(engine: str, folder: Path) -> bool:
    """Whether an engine can predict with a run folder."""
    photo = next((folder.parent / "synthetic" / "images" / "valid").iterdir())
    options = [str(photo), "--model", str(folder), "--output", str(folder / engine)]
    command = [sys.executable, "-m", "sav.cli", "predict", *options]
    done = subprocess.run(command, check=False, env={**os.environ, "SAV_ENGINE": engine})
    return done.returncode == 0


def compare(folders: list[Path], handed_over: Path) -> dict[str, Any]:
    """Both runs side by side, and the one that both had a part in."""
    first, second = (json.loads((f / "record.json").read_text("utf-8")) for f in folders)
    differences = [
        abs(a[name] - b[name]) / max(abs(a[name]), 1e-12)
        for a, b in zip(first["losses"], second["losses"], strict=True)
        for name in a
    ]
    runs = (*folders, handed_over)
    weights, *others = (load_file(folder / "model_final.safetensors") for folder in runs)
    same = [all(torch.equal(v, other[k]) for k, v in weights.items()) for other in others]
    results = [json.loads((folder / "results.json").read_text("utf-8")) for folder in folders]
    return {
        "iterations": len(first["losses"]),
        "same photos in the same order": first["photos"] == second["photos"],
        "greatest relative difference of a loss": max(differences),
        "same weights, bitwise": same[0],
        "same weights after going on on the other engine": same[1],
        "same results.json": results[0] == results[1],
        "each engine predicts with the other's run": all(map(loads, ENGINES, folders[::-1])),
    }


def main() -> None:
    """Train on both engines, compare, and fail when they differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("output/bench/engines.json"))
    parser.add_argument("--train", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train is not None:
        train(int(args.train[0]), args.train[1:])
        return
    if importlib.util.find_spec("detectron2") is None:
        raise SAVError("detectron2 is not installed here; install it as docs/install.md says")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        generate_dataset(root / "synthetic", splits={"train": 200, "valid": 20}, image_size=128)
        prepare = [
            REPOSITORY / "datasets" / "prepare_vehicleseg10k.py",
            "--root",
            root / "synthetic",
        ]
        subprocess.run([sys.executable, *map(str, prepare)], check=True)
        count = args.iterations
        folders = [start(engine, root / engine, count) for engine in ENGINES]
        handed_over = root / "handed_over"
        for engine, last in zip(ENGINES, (count // 2 + 5, None), strict=True):
            start(engine, handed_over, count, last)
        found = compare(folders, handed_over)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    wanted = [found[name] for name in found if name.startswith(("same", "each"))]
    if not all(wanted) or found["greatest relative difference of a loss"] > LOSSES:
        raise SAVError("the engines differ; see the figures above")


if __name__ == "__main__":
    run_command(main)
