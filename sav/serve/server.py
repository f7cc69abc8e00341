"""From an address to a server that answers there until it is interrupted."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

import uvicorn

from sav.errors import SAVError
from sav.predict.predictor import SAVPredictor
from sav.serve.app import create_app
from sav.serve.limits import Limits

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""By which a browser on this machine calls it."""
_CONNECTIONS = 256
_IDLE_SECONDS = 15
_LAST_SECONDS = 10
"""For the requests that are here when it is interrupted."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str, names: Sequence[str]) -> frozenset[str] | None:
    """Names that requests may call a server by.

    Args:
        host: the address that it listens at.
        names: further ones, such as that of a proxy.

    Returns:
        None for any: other machines reach it, and nothing is known of how they call it.
    """
    if not is_loopback(host) and not names:
        return None
    return LOCAL_NAMES | {host.lower(), *(name.lower() for name in names)}


def listen(host: str, port: int) -> socket.socket:
    """Take an address, before time is spent on what is to be served there.

    Args:
        host: a name or an address of this machine.
        port: 0 for one that is free.

    Raises:
        SAVError: it is in use, not allowed, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            what = "in use by another program; give another --port, or 0 for a free one"
        else:
            what = f"cannot be listened at: {error.strerror or error}"
        raise SAVError(f"{host} port {port}: {what}") from error


def serve(
    predictor: SAVPredictor,
    listening: socket.socket,
    limits: Limits,
    hosts: frozenset[str] | None,
    model_name: str,
) -> None:
    """Answer requests until Ctrl-C; those that are here then are answered still.

    Args:
        predictor: see :func:`~sav.serve.app.create_app`, as for the other arguments.
        listening: see :func:`listen`.
        limits: of each request.
        hosts: see :func:`allowed_hosts`.
        model_name: as people know the model.
    """
    # What is wrong with a request is said to who sent it; strangers do not write the log.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    config = uvicorn.Config(
        create_app(predictor, limits, hosts, model_name),
        http="h11",
        ws="none",
        lifespan="on",
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    host, port = listening.getsockname()[:2]
    if not is_loopback(host):
        open_to = "other machines reach this; there is no password and no encryption"
        sys.stderr.write(f"{host}: {open_to}\n")
    where = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"SAV answers at http://{where}:{port} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):  # which uvicorn raises again when it has ended
        uvicorn.Server(config).run(sockets=[listening])
    sys.stdout.write("stopped\n")
