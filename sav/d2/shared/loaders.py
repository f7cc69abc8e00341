"""The loader of training batches, whose randomness belongs to the place in the stream.

A resumed run, or one with another number of workers or processes, so sees the same images with the
same augmentations.
"""

from __future__ import annotations

import itertools
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from sav.d2.shared import comm
from sav.errors import SAVError

Mapper = Callable[[dict[str, Any]], Any]


def stream_seed(seed: int) -> int:
    """Return the seed of the stream: SEED, or when negative one drawn for all processes."""
    return seed if seed >= 0 else comm.shared_random_seed()


def as_list(batch: list[Any]) -> list[Any]:
    """Collate items into a batch: leave them a list."""
    return batch


class TrainLoader:
    """Endless batches for training, which can begin at any iteration.

    Args:
        dataset: records.
        mapper: turns a record into what the model takes.
        sampler: of indices.
        total_batch_size: over all processes, which must divide it evenly.
        aspect_ratio_grouping: whether a batch holds only tall or only wide images, by ``width`` and
            ``height`` of the records.
        num_workers: worker processes; 0 maps in this process.
        seed: of the mapper's randomness, the same in all processes.

    Raises:
        SAVError: when the processes cannot share a batch evenly.
    """

    def __init__(
        self,
        dataset: list[dict[str, Any]],
        *,
        mapper: Mapper,
        sampler: Sampler,
        total_batch_size: int,
        aspect_ratio_grouping: bool,
        num_workers: int,
        seed: int,
    ) -> None:
        world_size = comm.get_world_size()
        if total_batch_size <= 0 or total_batch_size % world_size:
            raise SAVError(
                f"SOLVER.IMS_PER_BATCH {total_batch_size}: {world_size} processes cannot share it "
                f"evenly; make it a multiple of {world_size}"
            )
        wide = [r["width"] > r["height"] for r in dataset] if aspect_ratio_grouping else None
        self._batches = _StreamBatches(sampler, total_batch_size // world_size, wide)
        self._loader = DataLoader(
            _SeededItems(dataset, mapper, seed),
            batch_sampler=self._batches,
            num_workers=num_workers,
            collate_fn=as_list,
            # So that starting workers draws nothing from the model's randomness.
            generator=torch.Generator().manual_seed(seed),
        )

    def start_at(self, iteration: int) -> None:
        """Let the next pass begin with the batch of this iteration."""
        self._batches.start = iteration

    def __iter__(self) -> Iterator[list[Any]]:
        yield from self._loader


class _StreamBatches(Sampler):
    """Batches of (position in the common stream, index), from any iteration on.

    To go on in the middle, the stream of indices is played again from its beginning: that takes no
    time, and it is exact for every sampler and every grouping.

    Args:
        sampler: of indices, of this process.
        batch_size: of this process.
        groups: for each index its group; a batch has items of one group.
    """

    def __init__(self, sampler: Sampler, batch_size: int, groups: Sequence[bool] | None) -> None:
        self.start = 0
        self._sampler = sampler
        self._batch_size = batch_size
        self._groups = groups

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return itertools.islice(self._all(), self.start, None)

    def _all(self) -> Iterator[list[tuple[int, int]]]:
        positions = itertools.count(comm.get_rank(), comm.get_world_size())
        waiting: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
        for position, index in zip(positions, self._sampler, strict=False):
            batch = waiting[self._groups is not None and self._groups[index]]
            batch.append((position, index))
            if len(batch) == self._batch_size:
                yield batch[:]
                batch.clear()


class PackedRecords(Sequence[dict[str, Any]]):
    """Records pickled into one buffer: loader workers share it, and each access gives a copy.

    Objects they would not share: the garbage collector of each worker writes to all of them.
    """

    def __init__(self, records: Sequence[dict[str, Any]]) -> None:
        packed = [pickle.dumps(record, protocol=-1) for record in records]
        self._ends = np.cumsum([0, *map(len, packed)], dtype=np.int64)
        self._buffer = np.frombuffer(b"".join(packed), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> dict[str, Any]:
        begin, end = self._ends[index : index + 2]
        return pickle.loads(memoryview(self._buffer[begin:end]))


class _SeededItems(Dataset):
    """Mapped records, by (position in the stream, index).

    The randomness of the mapper depends on the seed and the position only: not on the worker that
    does the work, nor on where a run was interrupted.
    """

    def __init__(self, records: list[dict[str, Any]], mapper: Mapper, seed: int) -> None:
        self._records = PackedRecords(records)
        self._mapper = mapper
        self._seed = seed

    def __getitem__(self, place: tuple[int, int]) -> Any:
        position, index = place
        with _seeded(self._seed, position):
            return self._mapper(self._records[index])


@contextmanager
def _seeded(*key: int) -> Iterator[None]:
    """Seed ``random``, ``numpy.random`` and torch's CPU generator, and restore them afterwards."""
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(key).generate_state(3).tolist()
    random.seed(words[0])
    np.random.seed(words[1])
    torch.default_generator.manual_seed(words[2])
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])
