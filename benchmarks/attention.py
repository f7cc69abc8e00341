"""How long SAM's image encoder takes, and how much memory, with our attention and with its own.

Each measurement is a process of its own, and both sides take turns, so that what else the machine
does disturbs both alike. Both have the same random weights and the same picture. Run with
``python benchmarks/attention.py --type vit_b --size 1024 --threads 1``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from segment_anything import sam_model_registry
from tabulate import tabulate
from torch import nn

from sav.modeling.encoders.attention import fuse_attention
from sav.modeling.encoders.tuning import resize_position_embedding

SIDES = ("segment-anything", "ours")
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


def peak_memory() -> int:
    """Most bytes that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def build(side: str, sam_type: str, size: int) -> nn.Module:
    """An encoder with the same random weights for both sides."""
    torch.manual_seed(0)
    encoder = sam_model_registry[sam_type]().image_encoder.eval()
    for name, parameter in encoder.named_parameters():
        if "pos" in name:  # zero at the start, which would hide differences
            nn.init.normal_(parameter, std=0.02)
    resize_position_embedding(encoder, size)
    if side == "ours":
        fuse_attention(encoder)
    return encoder


@torch.inference_mode()
def measure(side: str, sam_type: str, size: int, embedding: Path) -> dict[str, float]:
    """One pass in this process; writes its embedding.

    Memory is what the pass adds to that of the process before it, the weights included.
    """
    encoder = build(side, sam_type, size)
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    before, start, cpu_start = peak_memory(), time.perf_counter(), time.process_time()
    found = encoder(image)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    figures = {"seconds": seconds, "CPU seconds": cpu_seconds}
    figures |= {"GiB of the pass": (peak_memory() - before) / 2**30}
    torch.save(found, embedding)
    return figures


def start(side: str, args: argparse.Namespace, embedding: Path) -> dict[str, float]:
    """Run :func:`measure` in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--embedding", str(embedding)]
    command += ["--type", args.type, "--size", str(args.size), "--threads", str(args.threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Both sides in turns: medians, their ratios, and how far apart the embeddings are."""
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.rounds):
            for side in SIDES:
                runs[side].append(start(side, args, Path(folder) / f"{side}.pt"))
        theirs, ours = (torch.load(Path(folder) / f"{side}.pt") for side in SIDES)
    rows = {
        side: {name: median(run[name] for run in found) for name in found[0]}
        for side, found in runs.items()
    }
    ratios = {name: rows[SIDES[0]][name] / rows[SIDES[1]][name] for name in rows[SIDES[0]]}
    return {
        "medians": rows,
        "ratio": ratios,
        "relative difference": ((theirs - ours).abs().max() / theirs.abs().max()).item(),
        "runs": runs,
    }


def main() -> None:
    """Measure, print a table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--type", default="vit_b", choices=["vit_b", "vit_l", "vit_h"])
    parser.add_argument("--size", type=int, default=1024, help="of the canvas; %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="%(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="measurements a side; %(default)s")
    parser.add_argument("--output", type=Path, default=Path("output/bench/attention.json"))
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--embedding", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.side:
        print(json.dumps(measure(args.side, args.type, args.size, args.embedding)))
        return
    found = compare(args)
    rows = [*found["medians"].items(), ("ratio", found["ratio"])]
    print(tabulate([{"": name} | row for name, row in rows], headers="keys", floatfmt=".3g"))
    print(f"Largest difference, of the largest value: {found['relative difference']:.1e}")
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": args.threads,
        "torch": torch.__version__,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine, "type": args.type, "size": args.size, **found}
    args.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"Written to {args.output}")


if __name__ == "__main__":
    main()
