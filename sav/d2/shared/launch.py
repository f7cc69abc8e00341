"""Starting the processes of a job."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from multiprocessing import connection
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch
from torch import distributed as dist
from torch import multiprocessing as mp

from sav.d2.shared import comm
from sav.d2.shared.meeting import check_address, meet
from sav.errors import SAVError
from sav.process import describe_error, exit_on_signal

DEFAULT_TIMEOUT = timedelta(minutes=30)
STOPPED = {128 + signal.SIGINT, 128 + signal.SIGTERM}
"""Exit codes of processes that a signal has ended in good order."""


def launch(  # noqa: PLR0917  (Detectron2's own signature)
    main_func: Callable[..., None],
    num_gpus_per_machine: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str | None = None,
    args: tuple[Any, ...] = (),
    timeout: timedelta = DEFAULT_TIMEOUT,
    *,
    on_meeting: Callable[[int], None] | None = None,
) -> None:
    """Run a function in every process of a job, connected by torch.distributed.

    On a machine with GPUs each process has one. Tensors on GPUs travel through NCCL, all else
    through Gloo. Under ``torchrun`` the processes exist already and are only connected. A single
    process runs in place. When one process fails the others are ended. SIGTERM and Ctrl-C are
    passed on, and the processes have the time of ``timeout`` to end; a second Ctrl-C kills them.

    Args:
        main_func: called as ``main_func(*args)``; must be importable by name.
        num_gpus_per_machine: processes on each machine.
        num_machines: machines of the job.
        machine_rank: number of this machine.
        dist_url: address of the first machine; ``auto`` when there is only this one.
        args: of the function.
        timeout: of a communication between processes. They wait for each other at the start as
            long, but at most 5 minutes.
        on_meeting: called first in each process of several, with the number of those on its
            machine; must be importable by name.

    Raises:
        SAVError: when the processes cannot start, cannot meet, or are killed, or when the function
            raised one.
        RuntimeError: when the function raised something else; holds the traceback.
    """
    work = partial(_run_connected, main_func, args, on_meeting)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _check_gpus(int(os.environ["LOCAL_WORLD_SIZE"]))
        _run_elastic(work, timeout)
        return
    if min(num_machines, num_gpus_per_machine) < 1:
        raise SAVError(
            f"--num-gpus {num_gpus_per_machine} --num-machines {num_machines}: they count "
            "processes and machines; give 1 also for a machine without a GPU"
        )
    _check_gpus(num_gpus_per_machine)
    if not 0 <= machine_rank < num_machines:
        raise SAVError(
            f"--machine-rank {machine_rank}: with --num-machines {num_machines} the machines are "
            f"numbered from 0 to {num_machines - 1}"
        )
    if num_machines * num_gpus_per_machine == 1:
        main_func(*args)
        return
    with tempfile.TemporaryDirectory() as folder:
        if dist_url not in (None, "auto"):
            check_address(dist_url, is_host=machine_rank == 0, timeout=timeout)
        elif num_machines > 1:
            raise SAVError("--dist-url auto: give tcp://HOST:PORT for several machines")
        else:
            # A file, unlike a port that was free a moment ago, cannot be taken by another job.
            dist_url = f"file://{folder}/rendezvous"
        places = (machine_rank, num_gpus_per_machine, num_machines)
        _run_job(_Job(work, Path(folder), dist_url, timeout, *places))


def _check_gpus(processes: int) -> None:
    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        raise SAVError(
            f"--num-gpus {processes}: this machine has {gpus}; ask for fewer, or hide them with "
            "CUDA_VISIBLE_DEVICES= to use CPUs"
        )


@dataclass(frozen=True)
class _Job:
    """What a new process has to know; the folder is for the causes of failures."""

    work: Callable[[], None]
    folder: Path
    url: str
    timeout: timedelta
    machine_rank: int
    local_size: int
    num_machines: int

    def rank(self, local_rank: int) -> int:
        return self.machine_rank * self.local_size + local_rank


def _run_job(job: _Job) -> None:
    """Run the processes of this machine; when one fails, the others are ended."""
    processes = mp.start_processes(_worker, (job,), nprocs=job.local_size, join=False).processes
    before = signal.signal(signal.SIGTERM, _exit_once)
    try:
        _wait(processes)
        failed = {job.rank(i): p.exitcode for i, p in enumerate(processes) if _has_failed(p)}
    finally:
        try:
            _stop(processes, job.timeout)
        finally:
            signal.signal(signal.SIGTERM, before)
    if failed:
        _raise_cause(job.folder, failed)
    if code := max(process.exitcode for process in processes):
        sys.exit(code)


def _exit_once(number: int, frame: FrameType | None) -> NoReturn:
    """As exit_on_signal; `timeout` and `make` pass SIGTERM on, so that it comes twice."""
    signal.signal(number, signal.SIG_IGN)
    exit_on_signal(number, frame)


def _has_failed(process: mp.Process) -> bool:
    return process.exitcode not in {None, 0, *STOPPED}


def _wait(processes: Sequence[mp.Process], timeout: timedelta | None = None) -> None:
    """Wait until all processes have ended, one of them has failed, or the time is over."""
    left = timeout and timeout.total_seconds()
    deadline = timeout and time.monotonic() + left
    while not any(map(_has_failed, processes)):
        running = [process.sentinel for process in processes if process.exitcode is None]
        if not running or not connection.wait(running, left):
            return
        left = timeout and deadline - time.monotonic()


def _stop(processes: Sequence[mp.Process], timeout: timedelta) -> None:
    """End the processes: those that train finish their iteration and write a checkpoint first.

    They need one another for that, so when one has failed the others are killed.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        for process in processes:
            process.terminate()  # not SIGINT, which ends at once when it comes twice
        _wait(processes, timeout)
    finally:
        for process in processes:
            process.kill()
            process.join()


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


def _worker(local_rank: int, job: _Job) -> None:
    """Run in a new process."""
    os.environ["LOCAL_RANK"] = str(local_rank)
    os.environ["LOCAL_WORLD_SIZE"] = str(job.local_size)
    # While it waits for others a process never comes back to Python to raise KeyboardInterrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # A spawned process spawns in its turn: loader workers would each import everything anew and get
    # a copy of all records. They start as in a job of one process, by the platform's default.
    mp.set_start_method(mp.get_all_start_methods()[0], force=True)
    code = 0
    try:
        meet(job.url, job.timeout, job.rank(local_rank), job.num_machines * job.local_size)
        job.work()
    except Exception as error:
        # Said before the connections break, so that what breaks with them cannot be said first.
        message = describe_error(error)
        path = job.folder / ("traceback" if message is None else "error")
        with suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
            file.write(traceback.format_exc() if message is None else message)
        code = 1
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    # A native thread of torch.distributed now and then aborts a process that is tearing down its
    # interpreter ("terminate called without an active exception"), and a finished job would look
    # failed. So run what Python runs at its end, and leave without the teardown.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run_elastic(work: Callable[[], None], timeout: timedelta) -> None:
    """Run in a process of ``torchrun``; when several fail, only the first to do so says why."""
    store = meet("env://", timeout)
    # Each machine counts its own restarts, but all must agree whether they start or go on.
    if dist.get_rank() == 0:
        store.set("lives", str(store.underlying_store.add("lives", 1)))
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(int(store.get("lives")) - 1)
    try:
        work()
    except Exception:
        if store.add("failures", 1) > 1:
            sys.exit(1)
        raise


def _run_connected(
    main_func: Callable[..., None],
    args: tuple[Any, ...],
    on_meeting: Callable[[int], None] | None,
) -> None:
    """Run the function between the connected processes, and disconnect."""
    if on_meeting is not None:
        on_meeting(int(os.environ["LOCAL_WORLD_SIZE"]))
    comm.synchronize()
    main_func(*args)
    dist.destroy_process_group()
