"""Starting the processes of a job."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from multiprocessing import connection
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import torch
from torch import distributed as dist
from torch import multiprocessing as mp

from sav.errors import SAVError

DEFAULT_TIMEOUT = timedelta(minutes=30)
MEETING_TIMEOUT = timedelta(minutes=5)
MEETING_HINT = (
    "start all machines with this address and within minutes of each other, the first one with "
    "--machine-rank 0, and look for a firewall between them"
)
PARTING_SECONDS = 10


def launch(  # noqa: PLR0917  (Detectron2's own signature)
    main_func: Callable[..., None],
    num_gpus_per_machine: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str | None = None,
    args: tuple[Any, ...] = (),
    timeout: timedelta = DEFAULT_TIMEOUT,
) -> None:
    """Run a function in every process of a job, connected by torch.distributed.

    On a machine with GPUs each process has one. Tensors on GPUs travel through NCCL, all else
    through Gloo. Under ``torchrun`` the processes exist already and are only connected. A single
    process runs in place. When one process fails the others are ended.

    Args:
        main_func: called as ``main_func(*args)``; must be importable by name.
        num_gpus_per_machine: processes on each machine.
        num_machines: machines of the job.
        machine_rank: number of this machine.
        dist_url: address of the first machine; ``auto`` when there is only this one.
        args: of the function.
        timeout: of a communication between processes. They wait for each other at the start as
            long, but at most 5 minutes.

    Raises:
        SAVError: when the processes cannot start, cannot meet, or are killed, or when the function
            raised one.
        RuntimeError: when the function raised something else; holds the traceback.
    """
    elastic = "TORCHELASTIC_RUN_ID" in os.environ
    local_size = int(os.environ["LOCAL_WORLD_SIZE"]) if elastic else num_gpus_per_machine
    if not elastic and min(num_machines, local_size) < 1:
        raise SAVError(
            f"--num-gpus {local_size} --num-machines {num_machines}: they count processes and "
            "machines; give 1 also for a machine without a GPU"
        )
    gpus = torch.cuda.device_count()
    if 0 < gpus < local_size:
        raise SAVError(
            f"--num-gpus {local_size}: this machine has {gpus}; ask for fewer, or hide them with "
            "CUDA_VISIBLE_DEVICES= to use CPUs"
        )
    if elastic:
        _run_elastic(main_func, args, timeout)
        return
    if not 0 <= machine_rank < num_machines:
        raise SAVError(
            f"--machine-rank {machine_rank}: with --num-machines {num_machines} the machines are "
            f"numbered from 0 to {num_machines - 1}"
        )
    if num_machines * local_size == 1:
        main_func(*args)
        return
    with tempfile.TemporaryDirectory() as folder:
        if dist_url not in (None, "auto"):
            _check_address(dist_url, machine_rank == 0, min(timeout, MEETING_TIMEOUT))
        elif num_machines > 1:
            raise SAVError("--dist-url auto: give tcp://HOST:PORT for several machines")
        else:
            # A file, unlike a port that was free a moment ago, cannot be taken by another job.
            dist_url = f"file://{folder}/rendezvous"
        first_rank = machine_rank * local_size
        places = (first_rank, local_size, num_machines * local_size)
        context = mp.start_processes(
            _worker,
            args=(Path(folder), (main_func, args), (dist_url, timeout), places),
            nprocs=local_size,
            join=False,
        )
        codes = _wait(context.processes)
        failed = {first_rank + i: code for i, code in enumerate(codes) if code}
        if failed:
            _raise_cause(Path(folder), failed)


def _check_address(url: str, is_host: bool, patience: timedelta) -> None:
    """Find mistakes in the address, and wait for its host, before any process is started."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path:
        return
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme != "tcp" or not host or not port:
        raise SAVError(f"--dist-url {url}: not an address; give tcp://HOST:PORT, with a free port")
    try:
        socket.getaddrinfo(host, port)
        if is_host:
            socket.create_server(("", port)).close()
    except socket.gaierror as error:
        raise SAVError(f"--dist-url {url}: unknown host {host}; check its name") from error
    except OSError as error:
        reason = os.strerror(error.errno).lower()
        raise SAVError(f"--dist-url {url}: {reason}; give another port") from error
    deadline = time.monotonic() + patience.total_seconds()
    while not is_host:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise SAVError(f"--dist-url {url}: nobody answers; {MEETING_HINT}") from error
        time.sleep(0.2)


def _wait(processes: list[Any]) -> list[int | None]:
    """Return the exit codes when all have finished or one has failed; the others are ended."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        running = {process.sentinel: process for process in processes}
        while running and not any(process.exitcode for process in processes):
            for sentinel in connection.wait(running):
                running.pop(sentinel).join()
        return [process.exitcode for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(PARTING_SECONDS)
            process.kill()
            process.join()
        signal.signal(signal.SIGTERM, before)


def _raise_cause(folder: Path, failed: dict[int, int]) -> NoReturn:
    """Raise what failed first, of all the processes that failed with it."""
    if (folder / "error").is_file():
        raise SAVError((folder / "error").read_text(encoding="utf-8"))
    # Whoever talks to a killed process fails after it. An abort, though, is also how NCCL ends a
    # process after the failure of another.
    rank, code = min(failed.items(), key=lambda item: item[1])
    if code >= -signal.SIGABRT and (folder / "traceback").is_file():
        raise RuntimeError((folder / "traceback").read_text(encoding="utf-8"))
    end = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    raise SAVError(f"process {rank} {end}; see the logs, mend the cause and go on with --resume")


def _worker(
    local_rank: int,
    folder: Path,
    call: tuple[Callable[..., None], tuple[Any, ...]],
    meeting: tuple[str, timedelta],
    places: tuple[int, int, int],
) -> None:
    """Run in a new process; ``places``: first rank, processes of this machine, of the job."""
    first_rank, local_size, world_size = places
    os.environ["LOCAL_RANK"] = str(local_rank)
    os.environ["LOCAL_WORLD_SIZE"] = str(local_size)
    # While it waits for others a process never comes back to Python to raise KeyboardInterrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        _meet(*meeting, first_rank + local_rank, world_size)
        _run_connected(*call)
    except Exception as error:
        # Said before the connections break, so that what breaks with them cannot be said first.
        known = isinstance(error, SAVError)
        path = folder / ("error" if known else "traceback")
        with suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
            file.write(str(error) if known else traceback.format_exc())
        sys.exit(1)


def _run_elastic(main_func: Callable[..., None], args: tuple[Any, ...], timeout: timedelta) -> None:
    """Run in a process of ``torchrun``; when several fail, only the first to do so says why."""
    store = _meet("env://", timeout)
    # Each machine counts its own restarts, but all must agree whether they start or go on.
    if dist.get_rank() == 0:
        store.set("lives", str(store.underlying_store.add("lives", 1)))
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(int(store.get("lives")) - 1)
    try:
        _run_connected(main_func, args)
    except Exception:
        if store.add("failures", 1) > 1:
            sys.exit(1)
        raise


def _meet(url: str, timeout: timedelta, rank: int = -1, world_size: int = -1) -> dist.PrefixStore:
    """Connect the processes of the job; return the store that they share."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    patience = min(timeout, MEETING_TIMEOUT)
    try:
        store, rank, world_size = next(dist.rendezvous(url, rank, world_size, timeout=patience))
        store = _fresh(store, rank, world_size)
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=world_size, timeout=timeout
        )
    except dist.DistError as error:
        raise SAVError(
            f"{url}: process {rank} of {world_size} did not meet the others; {MEETING_HINT}"
        ) from error
    return store


def _fresh(store: dist.Store, rank: int, world_size: int) -> dist.PrefixStore:
    """Return a corner of the store in which all processes of this life of the job have met.

    A job that ``torchrun`` starts again finds its old store, with addresses of dead processes.
    """
    store.set(f"name/{rank}", uuid.uuid4().hex)
    deadline = time.monotonic() + store.timeout.total_seconds()
    while time.monotonic() < deadline:
        # The dead cannot know the name of a living process, so that they never agree with it.
        names = b"".join(store.get(f"name/{other}") for other in range(world_size))
        fresh = dist.PrefixStore(hashlib.sha256(names).hexdigest(), store)
        fresh.set(f"here/{rank}", "")
        if fresh.check([f"here/{other}" for other in range(world_size)]):
            return fresh
        time.sleep(0.1)
    raise dist.DistStoreError("some processes are missing")


def _run_connected(main_func: Callable[..., None], args: tuple[Any, ...]) -> None:
    """Run the function between the connected processes, and disconnect."""
    # Which engine counts ranks is known only once the door is open.
    from sav.d2 import comm  # noqa: PLC0415

    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    comm.synchronize()
    main_func(*args)
    dist.destroy_process_group()
