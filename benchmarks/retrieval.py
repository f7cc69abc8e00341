"""How fast and how complete the search in a gallery is, by its size and its kind of index.

Retrieval keys are synthetic: unit vectors in overlapping clusters on a subspace of few dimensions,
as encoders make them, with noise in all dimensions. Searches come one by one, as in
``sav predict``.

Run with ``python benchmarks/retrieval.py --sizes 10000 100000``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from sav.gallery.search import KeyIndex, exact_search, index_recipe

VEHICLES_PER_CLUSTER = 200
INTRINSIC_DIM = 48


def retrieval_keys(count: int, dim: int, seed: int = 0) -> np.ndarray:
    """Unit vectors (count, dim) float32 with cluster structure; the seed sets only the draw."""
    structure, draw = np.random.default_rng(0), np.random.default_rng(seed)
    basis = structure.standard_normal((INTRINSIC_DIM, dim), dtype=np.float32)
    clusters = max(8, 100_000 // VEHICLES_PER_CLUSTER)
    centres = structure.standard_normal((clusters, INTRINSIC_DIM), dtype=np.float32)
    found = np.empty((count, dim), dtype=np.float32)
    for start in range(0, count, 50_000):  # a million at once would need several times the memory
        rows = min(50_000, count - start)
        inner = centres[draw.integers(clusters, size=rows)]
        inner = inner + draw.standard_normal((rows, INTRINSIC_DIM), dtype=np.float32)
        outer = inner @ basis + draw.standard_normal((rows, dim), dtype=np.float32)
        norms = np.linalg.norm(outer, axis=1, keepdims=True)
        found[start : start + rows] = outer / norms
    return found


def measure(size: int, dim: int, recipes: list[str], queries: int, k: int) -> list[dict[str, Any]]:
    """One row a kind of search over ``size`` vehicles."""
    vectors, wanted = retrieval_keys(size, dim), retrieval_keys(queries, dim, seed=1)
    rows = []
    truth = None
    for recipe in ["exact", *recipes]:
        start = time.perf_counter()
        index = None if recipe == "exact" else KeyIndex.build(vectors, recipe)
        built = time.perf_counter() - start
        answers, times = [], []
        for query in tqdm(wanted, desc=f"{size} {recipe}", leave=False, disable=None):
            start = time.perf_counter()
            if index is None:
                _, nearest = exact_search(vectors, query[None], k)
            else:
                _, nearest = index.search(query[None], k)
            times.append(time.perf_counter() - start)
            answers.append(set(nearest[0].tolist()))
        truth = answers if truth is None else truth
        hits = [len(a & b) / k for a, b in zip(answers, truth, strict=True)]
        rows.append(
            {
                "vehicles": size,
                "search": recipe,
                f"recall@{k}": float(np.mean(hits)),
                "ms a query": 1e3 * float(np.median(times)),
                "s to build": built,
            }
        )
    return rows


def main() -> None:
    """Measure, print a table, write the figures."""
    parser = argparse.ArgumentParser(description="Measure search in galleries.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--dim", type=int, default=1053, help="of keys; %(default)s")
    parser.add_argument("--queries", type=int, default=200, help="%(default)s")
    parser.add_argument("--k", type=int, default=8, help="neighbours; %(default)s")
    parser.add_argument(
        "--recipes",
        nargs="+",
        metavar="FACTORY",
        help="FAISS's index_factory strings to compare (default: what the gallery chooses)",
    )
    parser.add_argument("--output", type=Path, default=Path("output/bench/retrieval.json"))
    args = parser.parse_args()
    rows = []
    for size in args.sizes:
        own = index_recipe(size, gpu=faiss.get_num_gpus() > 0)
        rows += measure(
            size, args.dim, args.recipes or ([own] if own else []), args.queries, args.k
        )
        print(tabulate(rows, headers="keys", floatfmt=".3g"))
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": faiss.omp_get_max_threads(),
        "gpus": faiss.get_num_gpus(),
        "faiss": faiss.__version__,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")
    print(f"Written to {args.output}")


if __name__ == "__main__":
    main()
