"""Data loaders: ``list[dict]`` batches for training and for testing.

Their randomness belongs to the place in the stream, so that a resumed run, or one with another
number of workers or processes, sees the same images with the same augmentations.
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
from sav.d2.shared.samplers import InferenceSampler, TrainingSampler
from sav.errors import SAVError

Mapper = Callable[[dict[str, Any]], Any]


class _PackedList(Dataset):
    """Records pickled into one buffer: workers share it, and each access gives a fresh copy."""

    def __init__(self, records: Sequence[Any]) -> None:
        packed = [pickle.dumps(record, protocol=-1) for record in records]
        self._ends = np.cumsum([len(p) for p in packed], dtype=np.int64)
        self._buffer = np.frombuffer(b"".join(packed), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> Any:
        begin = self._ends[index - 1] if index else 0
        return pickle.loads(memoryview(self._buffer[begin : self._ends[index]]))


class _MappedDataset(Dataset):
    """A data set seen through a mapper.

    An item is asked for by its index, or by (position in the stream, index). In the second case the
    randomness of the mapper depends on the seed and the position only: not on the worker that does
    the work, nor on where a run was interrupted.
    """

    def __init__(self, dataset: Any, mapper: Mapper | None, seed: int = 0) -> None:
        self._dataset = dataset
        self._mapper = mapper
        self._seed = seed

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, item: int | tuple[int, int]) -> Any:
        if not isinstance(item, tuple):
            return self._map(item)
        position, index = item
        with _seeded(self._seed, position):
            return self._map(index)

    def _map(self, index: int) -> Any:
        record = self._dataset[index]
        return record if self._mapper is None else self._mapper(record)


@contextmanager
def _seeded(*key: int) -> Iterator[None]:
    """Seed ``random``, ``numpy.random`` and torch's CPU generator, and restore them afterwards."""
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence([abs(k) for k in key]).generate_state(3).tolist()
    random.seed(words[0])
    np.random.seed(words[1])
    torch.default_generator.manual_seed(words[2])
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])


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
        return itertools.islice(self._batches(), self.start, None)

    def _batches(self) -> Iterator[list[tuple[int, int]]]:
        positions = itertools.count(comm.get_rank(), comm.get_world_size())
        waiting: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
        for position, index in zip(positions, self._sampler, strict=False):
            batch = waiting[self._groups is not None and self._groups[index]]
            batch.append((position, index))
            if len(batch) == self._batch_size:
                yield batch[:]
                batch.clear()


class _Loader(DataLoader):
    """torch's loader, in which a user's error keeps its one line when a worker raised it."""

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from super().__iter__()
        except SAVError as error:
            # torch raises it here with the traceback of the worker as its text.
            head, _, message = str(error).rstrip().rpartition("sav.errors.SAVError: ")
            if not head:
                raise
            raise SAVError(message) from None


class TrainLoader:
    """Endless batches for training, which can begin at any iteration.

    Args:
        dataset: records, or a map-style data set.
        mapper: turns a record into what the model takes; None leaves it.
        sampler: of indices; by default a :class:`TrainingSampler`.
        total_batch_size: over all processes, which must divide it evenly.
        aspect_ratio_grouping: whether a batch holds only tall or only wide images, by ``width`` and
            ``height`` of the records.
        num_workers: worker processes; 0 maps in this process.
        collate_fn: makes a batch of a list; None leaves the list.
        kwargs: passed to torch's ``DataLoader``.
    """

    def __init__(
        self,
        dataset: Sequence[Any] | Dataset,
        *,
        mapper: Mapper | None,
        sampler: Sampler | None = None,
        total_batch_size: int,
        aspect_ratio_grouping: bool = True,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        world_size = comm.get_world_size()
        if total_batch_size <= 0 or total_batch_size % world_size:
            raise SAVError(
                f"SOLVER.IMS_PER_BATCH {total_batch_size}: {world_size} processes cannot share it "
                f"evenly; make it a multiple of {world_size}"
            )
        self.total_batch_size = total_batch_size
        self.batch_size = total_batch_size // world_size
        if sampler is None:
            sampler = TrainingSampler(len(dataset))
        wide = [r["width"] > r["height"] for r in dataset] if aspect_ratio_grouping else None
        self._batches = _StreamBatches(sampler, self.batch_size, wide)
        seed = getattr(sampler, "seed", 0)
        # Its own generator, so that starting workers draws nothing from the model's randomness.
        kwargs.setdefault("generator", torch.Generator().manual_seed(seed))
        self._loader = _Loader(
            _MappedDataset(_pack(dataset), mapper, seed),
            batch_sampler=self._batches,
            num_workers=num_workers,
            collate_fn=collate_fn or _as_list,
            **kwargs,
        )

    def start_at(self, iteration: int) -> None:
        """Let the next pass begin with the batch of this iteration."""
        self._batches.start = iteration

    def __iter__(self) -> Iterator[Any]:
        yield from self._loader


def _pack(dataset: Sequence[Any] | Dataset) -> Any:
    return _PackedList(dataset) if isinstance(dataset, list) else dataset


def _as_list(batch: list[Any]) -> list[Any]:
    return batch


def build_detection_train_loader(
    dataset: Sequence[Any] | Dataset,
    **kwargs: Any,
) -> TrainLoader:
    """Build the loader of training batches; see :class:`TrainLoader`.

    With a config, records come from ``DATASETS.TRAIN`` and the rest from ``DATALOADER`` and
    ``SOLVER``: ``build_detection_train_loader(cfg, mapper=mapper)``.
    """
    return TrainLoader(dataset, **kwargs)


def build_detection_test_loader(
    dataset: Sequence[Any] | Dataset,
    *,
    mapper: Mapper | None,
    sampler: Sampler | None = None,
    batch_size: int = 1,
    num_workers: int = 0,
    collate_fn: Callable[[list[Any]], Any] | None = None,
) -> DataLoader:
    """Build a loader that gives every image once, shared out over the processes.

    With a config: ``build_detection_test_loader(cfg, dataset_name, mapper=mapper)``.

    Args:
        dataset: records, or a map-style data set.
        mapper: turns a record into what the model takes; None leaves it.
        sampler: of indices; by default an :class:`InferenceSampler`.
        batch_size: per process.
        num_workers: worker processes; 0 maps in this process.
        collate_fn: makes a batch of a list; None leaves the list.
    """
    return _Loader(
        _MappedDataset(_pack(dataset), mapper),
        batch_size=batch_size,
        sampler=InferenceSampler(len(dataset)) if sampler is None else sampler,
        drop_last=False,
        num_workers=num_workers,
        collate_fn=collate_fn or _as_list,
    )
