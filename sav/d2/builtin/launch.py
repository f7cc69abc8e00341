"""Starting the processes of a job."""

from __future__ import annotations

import atexit
import datetime
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import distributed as dist
from torch import multiprocessing as mp

from sav.d2.builtin.relay import relayed_message
from sav.errors import SAVError

DEFAULT_TIMEOUT = datetime.timedelta(minutes=30)


def launch(  # noqa: PLR0917  (Detectron2's own signature)
    main_func: Callable[..., None],
    num_gpus_per_machine: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str | None = None,
    args: tuple[Any, ...] = (),
    timeout: datetime.timedelta = DEFAULT_TIMEOUT,
) -> None:
    """Run a function in every process of a job, connected by torch.distributed.

    With GPUs each process has one and they talk through NCCL; without, they talk through Gloo.
    Under ``torchrun`` the processes exist already and are only connected. A single process runs in
    place.

    Args:
        main_func: called as ``main_func(*args)``; must be importable by name.
        num_gpus_per_machine: processes on each machine.
        num_machines: machines of the job.
        machine_rank: number of this machine.
        dist_url: address of the first machine; ``auto`` when there is only this one.
        args: of the function.
        timeout: of a communication between processes.

    Raises:
        SAVError: when there are too few GPUs, or the function raised one.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _run_connected(main_func, args, {"init_method": "env://", "timeout": timeout})
        return
    world_size = num_machines * num_gpus_per_machine
    if world_size == 1:
        main_func(*args)
        return
    gpus = torch.cuda.device_count()
    if gpus and num_gpus_per_machine > gpus:
        raise SAVError(f"--num-gpus {num_gpus_per_machine}: this machine has {gpus}")
    with tempfile.TemporaryDirectory() as folder:
        if dist_url in (None, "auto"):
            if num_machines > 1:
                raise SAVError("--dist-url auto: give tcp://HOST:PORT for several machines")
            # A file, unlike a port that was free a moment ago, cannot be taken by another job.
            dist_url = f"file://{folder}/rendezvous"
        group = {"init_method": dist_url, "timeout": timeout, "world_size": world_size}
        first_rank = machine_rank * num_gpus_per_machine
        try:
            mp.start_processes(
                _worker,
                nprocs=num_gpus_per_machine,
                args=(main_func, args, group, first_rank, num_gpus_per_machine),
                start_method="spawn",
            )
        except mp.ProcessRaisedException as error:
            message = relayed_message(error)
            if message is None:
                raise
            raise SAVError(message) from None


def _worker(
    local_rank: int,
    main_func: Callable[..., None],
    args: tuple[Any, ...],
    group: dict[str, Any],
    *places: int,
) -> None:
    """Run in a new process; ``places`` are the first rank and the processes of this machine."""
    first_rank, local_size = places
    os.environ["LOCAL_RANK"] = str(local_rank)
    os.environ["LOCAL_WORLD_SIZE"] = str(local_size)
    _run_connected(main_func, args, {**group, "rank": first_rank + local_rank})
    # A native thread of torch.distributed now and then aborts a process that is tearing down its
    # interpreter, and the finished job would look failed. So run what Python runs at its end, and
    # leave without the teardown.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _run_connected(
    main_func: Callable[..., None], args: tuple[Any, ...], group: dict[str, Any]
) -> None:
    """Join the process group, run the function, and leave."""
    # Which engine counts ranks is known only once the door is open.
    from sav.d2 import comm  # noqa: PLC0415

    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo", **group)
    try:
        if hasattr(comm, "create_local_process_group"):
            comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
        comm.synchronize()
        main_func(*args)
    finally:
        dist.destroy_process_group()
