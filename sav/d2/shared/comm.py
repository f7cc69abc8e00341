"""Communication between the processes of a job; everything works with one process too."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from torch import distributed as dist


def _initialised() -> bool:
    return dist.is_available() and dist.is_initialized()


def get_world_size() -> int:
    """Return the number of processes of the job."""
    return dist.get_world_size() if _initialised() else 1


def get_rank() -> int:
    """Return the number of this process in the job."""
    return dist.get_rank() if _initialised() else 0


def get_local_rank() -> int:
    """Return the number of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0")) if _initialised() else 0


def is_main_process() -> bool:
    """Return whether this is the process that writes files and logs."""
    return get_rank() == 0


def synchronize() -> None:
    """Wait for all processes."""
    if get_world_size() > 1:
        dist.barrier()


def all_gather(data: Any) -> list[Any]:
    """Collect a picklable object of every process, in the order of ranks, in all of them."""
    if get_world_size() == 1:
        return [data]
    gathered: list[Any] = [None] * get_world_size()
    dist.all_gather_object(gathered, data)
    return gathered


def gather(data: Any, dst: int = 0) -> list[Any]:
    """Collect a picklable object of every process in process ``dst``; others get an empty list."""
    if get_world_size() == 1:
        return [data]
    gathered: list[Any] | None = [None] * get_world_size() if get_rank() == dst else None
    dist.gather_object(data, gathered, dst=dst)
    return gathered or []


def shared_random_seed() -> int:
    """Return a random number below 2**31 that is the same in all processes."""
    return all_gather(int(np.random.randint(2**31)))[0]
