"""How the processes of a job find one another."""

from __future__ import annotations

import hashlib
import os
import socket
import time
import uuid
from datetime import timedelta
from urllib.parse import urlsplit

import torch
from torch import distributed as dist

from sav.errors import SAVError

LONGEST_WAIT = timedelta(minutes=5)

_HINT = (
    "start all machines with this address and within minutes of each other, the first one with "
    "--machine-rank 0, and look for a firewall between them"
)


def check_address(url: str, *, is_host: bool, timeout: timedelta) -> None:
    """Find mistakes in an address, and wait for its host, before any process is started.

    Args:
        url: ``tcp://HOST:PORT`` or ``file://PATH``.
        is_host: whether this is the machine that the address names.
        timeout: how long to wait for the host, at most ``LONGEST_WAIT``.

    Raises:
        SAVError: when the address is wrong or taken, or its host does not answer.
    """
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
    deadline = time.monotonic() + min(timeout, LONGEST_WAIT).total_seconds()
    while not is_host:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise SAVError(f"--dist-url {url}: no answer; {_HINT}") from error
        time.sleep(0.2)


def meet(url: str, timeout: timedelta, rank: int = -1, world_size: int = -1) -> dist.PrefixStore:
    """Connect this process with the others of the job.

    Args:
        url: where they meet; ``env://`` under ``torchrun``, which knows the numbers.
        timeout: of a communication; they wait for each other at most ``LONGEST_WAIT``.
        rank: number of this process.
        world_size: number of processes.

    Returns:
        The store that they share.

    Raises:
        SAVError: when some of them are missing.
    """
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    wait = min(timeout, LONGEST_WAIT)
    try:
        store, rank, world_size = next(dist.rendezvous(url, rank, world_size, timeout=wait))
        store = _fresh(store, rank, world_size)
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=world_size, timeout=timeout
        )
    except dist.DistError as error:
        raise SAVError(
            f"{url}: process {rank} of {world_size} did not meet the others; {_HINT}"
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
