"""Which images a process sees, and in what order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from sav.d2.shared import comm


class TrainingSampler(Sampler):
    """An endless shuffled stream of indices, dealt out to the processes in turn.

    The stream is one permutation after another, all from one seed; process r of n takes the items
    r, r + n, r + 2n, ... so all of them together see the stream of a single process.

    Args:
        size: number of images.
        shuffle: False repeats 0, 1, ..., size - 1.
        seed: of the stream, the same in all processes; None draws one and shares it.
    """

    def __init__(self, size: int, shuffle: bool = True, seed: int | None = None) -> None:
        if not isinstance(size, int):
            raise TypeError(f"size is an int, not {type(size).__name__}")
        if size <= 0:
            raise ValueError(f"a training sampler needs at least one image, not {size}")
        self.size = size
        self.shuffle = shuffle
        self.seed = comm.shared_random_seed() if seed is None else int(seed)
        self._rank = comm.get_rank()
        self._world_size = comm.get_world_size()

    def __iter__(self) -> Iterator[int]:
        yield from itertools.islice(self._stream(), self._rank, None, self._world_size)

    def _stream(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            if self.shuffle:
                yield from torch.randperm(self.size, generator=generator).tolist()
            else:
                yield from range(self.size)


class InferenceSampler(Sampler):
    """Every image once: contiguous shards, the first ones longer when they cannot be even.

    Args:
        size: number of images.
    """

    def __init__(self, size: int) -> None:
        if size <= 0:
            raise AssertionError(f"an inference sampler needs at least one image, not {size}")
        rank, world_size = comm.get_rank(), comm.get_world_size()
        length, longer = divmod(size, world_size)
        begin = rank * length + min(rank, longer)
        self._indices = range(begin, begin + length + (rank < longer))

    def __iter__(self) -> Iterator[int]:
        yield from self._indices

    def __len__(self) -> int:
        return len(self._indices)
