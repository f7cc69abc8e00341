"""Data loaders from a config, and the order in which they go through the images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from sav.d2.builtin.catalog import DatasetCatalog
from sav.d2.builtin.config import CfgNode
from sav.d2.shared import comm
from sav.d2.shared.loaders import Mapper, PackedRecords, TrainLoader, as_list, stream_seed


class TrainingSampler(Sampler):
    """An endless shuffled stream of indices, dealt out to the processes in turn.

    The stream is one permutation after another, all from one seed; process r of n takes the items
    r, r + n, r + 2n, ... so all of them together see the stream of a single process.

    Args:
        size: number of images.
        seed: of the stream, the same in all processes.
    """

    def __init__(self, size: int, seed: int) -> None:
        if size <= 0:
            raise ValueError(f"a training sampler needs at least one image, not {size}")
        self._size = size
        self._seed = seed

    def __iter__(self) -> Iterator[int]:
        return itertools.islice(self._stream(), comm.get_rank(), None, comm.get_world_size())

    def _stream(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed)
        while True:
            yield from torch.randperm(self._size, generator=generator).tolist()


def build_detection_train_loader(
    cfg: CfgNode,
    mapper: Mapper,
    *,
    dataset: list[dict[str, Any]],
    sampler: Sampler | None = None,
) -> TrainLoader:
    """Build the loader of training batches from ``DATALOADER``, ``SOLVER`` and ``SEED``.

    Args:
        cfg: the config.
        mapper: turns a record into what the model takes.
        dataset: records.
        sampler: of indices; by default a :class:`TrainingSampler`.
    """
    seed = stream_seed(cfg.SEED)
    return TrainLoader(
        dataset,
        mapper=mapper,
        sampler=TrainingSampler(len(dataset), seed) if sampler is None else sampler,
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
        aspect_ratio_grouping=cfg.DATALOADER.ASPECT_RATIO_GROUPING,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        seed=seed,
    )


class _Mapped(Dataset):
    """Records seen through a mapper."""

    def __init__(self, records: list[dict[str, Any]], mapper: Mapper) -> None:
        self._records = PackedRecords(records)
        self._mapper = mapper

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Any:
        return self._mapper(self._records[index])


def build_detection_test_loader(
    cfg: CfgNode, dataset_name: str, mapper: Mapper, *, batch_size: int = 1
) -> DataLoader:
    """Build a loader that gives every image once.

    Each process has a contiguous share; the first ones are longer when they cannot be even.

    Args:
        cfg: the config.
        dataset_name: a registered data set.
        mapper: turns a record into what the model takes.
        batch_size: of each process.

    Raises:
        AssertionError: when the data set is empty.
    """
    records = DatasetCatalog.get(dataset_name)
    if not records:
        raise AssertionError(f"data set {dataset_name!r} is empty")
    rank = comm.get_rank()
    length, longer = divmod(len(records), comm.get_world_size())
    begin = rank * length + min(rank, longer)
    return DataLoader(
        _Mapped(records[begin : begin + length + (rank < longer)], mapper),
        batch_size=batch_size,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=as_list,
    )
