"""Search for the nearest retrieval keys: exact, or with an index that is made for the size.

The choice follows FAISS's "Guidelines to choose an index" and the figures of
``benchmarks/retrieval.py``, see docs/gallery.md.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path

import faiss
import numpy as np

from sav.files import atomic_path, native_name

IVF_FROM = 100_000
"""Vectors from which an inverted file beats comparing with all of them."""

HNSW_FROM = 1_000_000
"""Vectors from which the clusters of an inverted file take longer to find than a graph."""

_PROBES = 64  # lists of an inverted file that are searched
_LINKS = 32  # of each vector in the graph
_EF_SEARCH = 256  # candidates that are followed in the graph
_POINTS_PER_LIST = 64  # k-means learns little from more
_GPU_RESULTS = 2048  # the most that FAISS returns for a query there


def index_recipe(count: int, *, gpu: bool = False) -> str | None:
    """What FAISS's index_factory is to make for a number of vectors.

    Args:
        count: vectors.
        gpu: whether the index is for a GPU, which has no graphs, but compares with a million
            vectors in the time in which a processor compares with ten thousand.

    Returns:
        a factory string; None where searching without an index is the best.
    """
    if gpu:
        lists = f"IVF{4 * math.isqrt(count)},Flat"
        return None if count < IVF_FROM else "Flat" if count < HNSW_FROM else lists
    if count >= HNSW_FROM:
        return f"HNSW{_LINKS},Flat"
    return f"IVF{4 * math.isqrt(count)},Flat" if count >= IVF_FROM else None


def exact_search(
    vectors: np.ndarray, queries: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compare queries with every vector; there is nothing to prepare.

    Args:
        vectors: (G, D) float32.
        queries: (B, D) float32.
        count: results a query, G at most.

    Returns:
        inner products (B, count), the largest first, and rows (B, count) int64.
    """
    return faiss.knn(queries, vectors, count, metric=faiss.METRIC_INNER_PRODUCT)


class KeyIndex:
    """An index over unit vectors that do not change any more, on a GPU when FAISS can use one.

    Attributes:
        recipe: see :func:`index_recipe`.
    """

    def __init__(self, recipe: str, index: faiss.Index) -> None:
        """Take over a filled index of the processor; see :meth:`build` and :meth:`read`."""
        self.recipe = recipe
        self._index = index
        self._on_gpu = faiss.get_num_gpus() > 0 and not recipe.startswith("HNSW")
        self._tune()
        if self._on_gpu:
            self._resources = faiss.StandardGpuResources()
            self._searched = faiss.index_cpu_to_gpu(self._resources, 0, index)
        else:
            self._searched = index
        logging.getLogger(__name__).info(
            "Gallery search: %s over %d vehicles on the %s",
            recipe,
            index.ntotal,
            "GPU" if self._on_gpu else "CPU",
        )

    @classmethod
    def build(cls, vectors: np.ndarray, recipe: str | None = None) -> KeyIndex | None:
        """Make the index that suits the number of vectors; None where none is needed.

        Args:
            vectors: (G, D) float32, unit length.
            recipe: another one than :func:`index_recipe` gives.
        """
        recipe = recipe or index_recipe(len(vectors), gpu=faiss.get_num_gpus() > 0)
        if recipe is None:
            return None
        index = faiss.index_factory(vectors.shape[1], recipe, faiss.METRIC_INNER_PRODUCT)
        learn_from = vectors
        if recipe.startswith("IVF"):
            wanted = min(len(vectors), _POINTS_PER_LIST * faiss.extract_index_ivf(index).nlist)
            learn_from = vectors[np.random.default_rng(0).choice(len(vectors), wanted, False)]
        index.train(learn_from)
        index.add(vectors)
        return cls(recipe, index)

    def __len__(self) -> int:
        return self._index.ntotal

    def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Find about the nearest vectors.

        Args:
            queries: (B, D) float32.
            count: results a query.

        Returns:
            as :func:`exact_search`, with row -1 where the index has found no more.
        """
        if self._on_gpu:
            count = min(count, _GPU_RESULTS)
        return self._searched.search(queries, count)

    def save(self, path: Path) -> None:
        """Write the index atomically."""
        with atomic_path(path) as temporary, native_name(temporary) as name:
            faiss.write_index(self._index, name)

    @classmethod
    def read(cls, path: Path, recipe: str) -> KeyIndex:
        """Read what :meth:`save` wrote.

        Raises:
            RuntimeError: FAISS cannot read it.
        """
        with native_name(path) as name:
            return cls(recipe, faiss.read_index(name))

    def _tune(self) -> None:
        if self.recipe.startswith("HNSW"):
            faiss.downcast_index(self._index).hnsw.efSearch = _EF_SEARCH
        elif self.recipe.startswith("IVF"):
            faiss.extract_index_ivf(self._index).nprobe = _PROBES
