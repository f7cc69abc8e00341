"""The share of each of several data sets in training."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from sav.d2 import CfgNode, comm
from sav.errors import SAVError


@dataclass(eq=False)
class MixtureSampler(Sampler[int]):
    """An endless stream of indices into data sets that lie one after the other in one list.

    Each data set has a share of the stream, which changes evenly from the beginning of training to
    its end. Every stretch of the stream keeps to the shares as nearly as whole photos can, so all
    batches have about the same mixture. A data set's photos come in one random permutation after
    another. The processes take the items of one stream in turn, as with Detectron2's
    ``TrainingSampler``.

    Attributes:
        sizes: photos of each data set.
        shares: of each data set, at the beginning and at the end; those of all are 1 together.
        length: photos of the whole training; afterwards the shares stay as they are.
        seed: of the stream, the same in all processes.
    """

    sizes: Sequence[int]
    shares: Sequence[tuple[float, float]]
    length: int
    seed: int

    @classmethod
    def from_config(cls, cfg: CfgNode, sizes: Sequence[int]) -> MixtureSampler:
        """As DATASETS.TRAIN_SHARES says, for data sets of these sizes.

        Raises:
            SAVError: the shares are not pairs of numbers that fit the data sets.
        """
        key, names = "DATASETS.TRAIN_SHARES", cfg.DATASETS.TRAIN
        shares = np.empty(0)
        with suppress(TypeError, ValueError):
            shares = np.asarray(cfg.DATASETS.TRAIN_SHARES, dtype=np.float64)
        if shares.shape != (len(names), 2):
            raise SAVError(
                f"{key}: give a pair for each of {', '.join(names)}, such as (0.2, 0.8): its share "
                "at the beginning of training and at its end"
            )
        if (shares < 0).any() or not np.allclose(shares.sum(0), 1):
            raise SAVError(f"{key}: the shares must be 0 or more, and 1 together at both times")
        for name, size, pair in zip(names, sizes, shares, strict=True):
            if size == 0 and pair.any():
                raise SAVError(f"{key}: '{name}' has no photo")
        return cls(
            sizes,
            shares,
            length=cfg.SOLVER.MAX_ITER * cfg.SOLVER.IMS_PER_BATCH,
            # A negative seed means a random run.
            seed=cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed(),
        )

    def __iter__(self) -> Iterator[int]:
        yield from itertools.islice(self._stream(), comm.get_rank(), None, comm.get_world_size())

    def _stream(self) -> Iterator[int]:
        firsts = np.cumsum(self.sizes) - self.sizes
        photos = [
            _shuffled(np.arange(first, first + size), np.random.default_rng([self.seed, number]))
            for number, (first, size) in enumerate(zip(firsts, self.sizes, strict=True))
        ]
        begin, end = np.asarray(self.shares, dtype=np.float64).T
        owed = np.zeros(len(photos))
        for position in itertools.count():
            owed += begin + (end - begin) * min(1.0, position / self.length)
            chosen = int(owed.argmax())
            owed[chosen] -= 1
            yield next(photos[chosen])


def _shuffled(items: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(items).tolist()
