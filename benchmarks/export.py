"""An exported model against PyTorch: time of one photo, end to end, and what 8 bits cost.

All variants take turns on the same photos, so that their ratios hold on a machine that is busy::

    sav export --out output/fp32 && sav export --out output/int8 --int8
    python benchmarks/export.py --fp32 output/fp32 --int8 output/int8 PHOTOS

PyTorch is held to AVX2 by ``ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2``. ONNX Runtime has no
such switch: it takes the best instructions that the processor has.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from tabulate import tabulate
from tqdm import tqdm

from sav.export.runtime import Part, PartFinder
from sav.formats.images import read_rgb
from sav.predict.predictor import SAVPredictor
from sav.predict.sources import find_inputs
from sav.run_folder import SHIPPED
from sav.synthetic import render_scene

RENDERED = 20
INSTRUCTIONS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")


def processor() -> str:
    """Its name and its vector instructions."""
    path = Path("/proc/cpuinfo")
    text = path.read_text("utf-8") if path.exists() else ""
    name = re.search(r"model name\s*: (.*)", text)
    flags = re.search(r"flags\s*: (.*)", text)
    known = set(flags[1].split()) if flags else set()
    shown = " ".join(name for name in INSTRUCTIONS if name in known)
    return f"{name[1] if name else 'unknown'}, {os.cpu_count()} cores, {shown}"


def photos_of(names: list[str]) -> list[np.ndarray]:
    """The user's photos, or rendered ones."""
    if names:
        return [read_rgb(path) for path in find_inputs(names)]
    rng = np.random.default_rng(7)
    return [render_scene(rng, 512).image for _ in range(RENDERED)]


def timed(function: Callable[[np.ndarray], Any], photo: np.ndarray) -> tuple[float, Any]:
    """Seconds, and the result."""
    start = time.perf_counter()
    result = function(photo)
    return time.perf_counter() - start, result


def mask_iou(first: Part, second: Part) -> float:
    """Of two parts of one photo."""
    low = np.minimum(first.box[:2], second.box[:2])
    size = np.maximum(first.box[2:], second.box[2:]) - low
    masks = np.zeros((2, size[1], size[0]), bool)
    for mask, part in zip(masks, (first, second), strict=True):
        left, top = part.box[:2] - low
        mask[top : top + part.mask.shape[0], left : left + part.mask.shape[1]] = part.mask
    return float((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())


def agreement(found: list[Part], expected: list[Part]) -> list[tuple[float, float]]:
    """IoU and difference of the scores, for each part that is expected with 0.3 or more."""
    pairs = []
    for part in (part for part in expected if part.score >= 0.3):
        same = [other for other in found if other.class_id == part.class_id]
        ious = [mask_iou(part, other) for other in same]
        best = int(np.argmax(ious)) if ious else None
        score = same[best].score if ious else 0.0
        pairs.append((max(ious, default=0.0), abs(score - part.score)))
    return pairs


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="*", help="photos and folders; rendered ones where none")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="run folder")
    parser.add_argument("--fp32", type=Path, required=True, help="its export")
    parser.add_argument("--int8", type=Path, help="its export with --int8")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    variants: dict[str, Callable[[np.ndarray], Any]] = {
        "PyTorch": SAVPredictor.from_pretrained(args.model, "cpu"),
        "ONNX Runtime fp32": PartFinder(args.fp32, args.threads),
    }
    if args.int8:
        variants["ONNX Runtime int8"] = PartFinder(args.int8, args.threads)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    pairs: list[tuple[float, float]] = []
    photos = photos_of(args.photos)
    for variant in variants.values():
        variant(photos[0])  # to warm up
    for photo in tqdm(photos, disable=None):
        results = {}
        for name, variant in variants.items():
            taken, results[name] = timed(variant, photo)
            seconds[name].append(taken)
        if args.int8:
            pairs += agreement(results["ONNX Runtime int8"], results["ONNX Runtime fp32"])
    print(f"{processor()}; {args.threads} threads, {len(photos)} photos")
    print(
        f"torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), "
        f"onnxruntime {onnxruntime.__version__}"
    )
    first = np.array(seconds["PyTorch"])
    rows = [
        [name, 1e3 * np.median(taken), np.median(first / np.array(taken))]
        for name, taken in seconds.items()
    ]
    titles = ["", "ms a photo (median)", "times as fast as PyTorch (median of ratios)"]
    print(tabulate(rows, titles, tablefmt="github", floatfmt=".2f"))
    if pairs:
        iou, score = np.mean(pairs, axis=0)
        print(
            f"int8 against fp32, {len(pairs)} parts of score 0.3 or more: mean mask IoU {iou:.3f}, "
            f"mean difference of scores {score:.3f}"
        )


if __name__ == "__main__":
    main()
