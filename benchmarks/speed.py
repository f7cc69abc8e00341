"""How fast each hot path is on this machine, in one run.

Figures of one run can be compared with one another; figures of two machines cannot. Run with
``make bench`` or ``python benchmarks/speed.py --output output/bench/speed.json``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tabulate import tabulate

from sav.config import load_config
from sav.d2 import CfgNode, DatasetCatalog, EventStorage, engine_description
from sav.data.mapper import PartDatasetMapper
from sav.data.registration import register_part_datasets
from sav.engine.trainer import Trainer
from sav.formats.vehicleseg10k import VehicleSegSource, convert_vehicleseg10k
from sav.modeling.meta_arch import SAV
from sav.ontology import load_ontology
from sav.predict.predictor import SAVPredictor
from sav.synthetic import generate_dataset, render_scene

CONFIG = Path(__file__).parents[1] / "configs" / "synthetic" / "SAV-EffNetLite0.yaml"
PHOTOS = 64


def seconds(function: Callable[[], Any], repeats: int) -> float:
    """Median seconds of one call, after one call to warm up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def prepare(root: Path) -> dict[str, float]:
    """Make and convert a small data set; returns seconds an image of both."""
    folder = root / "synthetic"
    splits = {"train": PHOTOS, "valid": 8}
    generate_dataset(folder, splits=splits, seed=0, image_size=256, workers=1)
    source = VehicleSegSource(folder, load_ontology("vehicleseg10k"))
    start = time.perf_counter()
    convert_vehicleseg10k(source, folder / "coco", workers=1)
    converted = (time.perf_counter() - start) / (PHOTOS + 8)
    rendered = seconds(lambda: render_scene(np.random.default_rng(1), 256), 20)
    return {"render one 256x256 photo (one core)": rendered, "convert one photo": converted}


def training_step(cfg: CfgNode, model: SAV, batch: list[dict[str, Any]]) -> Callable[[], None]:
    """A step as the trainer takes it."""
    optimizer = Trainer.build_optimizer(cfg, model)
    trainer = Trainer.build_step_trainer(cfg, model, itertools.repeat(batch), optimizer)
    trainer.iter = 0

    def step() -> None:
        with EventStorage():
            trainer.run_step()

    return step


def measure(root: Path) -> dict[str, float]:
    """Seconds of every hot path."""
    torch.manual_seed(0)
    found = prepare(root)
    cfg = load_config(CONFIG, ["DATASETS.ROOT", str(root)])
    register_part_datasets(cfg)
    records = DatasetCatalog.get(cfg.DATASETS.TRAIN[0])
    mapper = PartDatasetMapper(cfg, is_train=True)
    found["map one training photo"] = seconds(lambda: mapper(records[0]), 50)

    batch = [mapper(record) for record in records[: cfg.SOLVER.IMS_PER_BATCH]]
    model = Trainer.build_model(cfg)
    variants = {
        f"train one step of {len(batch)} photos": [],
        "a step in float32": ["SOLVER.AMP.ENABLED", "False"],
        "a step without context": ["MODEL.SAV.CONTEXT.ENABLED", "False"],
    }
    for name, options in variants.items():
        variant = load_config(CONFIG, options)
        trained = Trainer.build_model(variant) if options else model
        found[name] = seconds(training_step(variant, trained, batch), 20)
    found |= measure_shipped()
    images = model.preprocess([batch[0]["image"]])
    with torch.no_grad():
        found["encoder alone, one photo"] = seconds(lambda: model.encoder(images), 50)
    return found


def measure_shipped() -> dict[str, float]:
    """Seconds of the shipped model's predictions, of photos with a few vehicles."""
    predictor = SAVPredictor.from_pretrained()
    found = {}
    for megapixels in (0.07, 1, 12):
        side = round((megapixels * 1e6) ** 0.5)
        scene = render_scene(np.random.default_rng(20), min(side, 1024)).image
        photo = cv2.resize(scene, (side, side), interpolation=cv2.INTER_LINEAR)
        parts = predictor(photo)
        shown = f"{len(parts)} parts, {len(parts.vehicle_ids.unique())} vehicles"
        name = f"predict one photo of {megapixels} megapixels, {shown}"
        found[name] = seconds(lambda photo=photo: predictor(photo), 5)
    return found


def main() -> None:
    """Measure, print a table, write the figures."""
    parser = argparse.ArgumentParser(description="Measure the speed of each hot path.")
    parser.add_argument("--output", type=Path, default=Path("output/bench/speed.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    print(tabulate([(k, v * 1e3, 1 / v) for k, v in found.items()], ["", "ms", "a second"]))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "engine": engine_description(),
    }
    report = {"machine": machine, "seconds": found}
    args.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"Written to {args.output}")


if __name__ == "__main__":
    main()
