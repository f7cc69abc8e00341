"""How a process of ours ends."""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from sav.errors import SAVError

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""What a disk says, often without the name of a file."""


def exit_on_signal(number: int, frame: FrameType | None) -> NoReturn:
    """For ``signal.signal``: end like an error, so that every ``finally`` has its turn."""
    sys.exit(128 + number)


def run_command(main: Callable[[], None]) -> NoReturn:
    """Run a command-line entry point and turn user errors into one line and an exit code.

    SIGTERM ends it like an error, so that no child process and no temporary file is left behind.

    Args:
        main: the command. Any exception other than those of :func:`describe_error` and an interrupt
            is a bug of ours and keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # file names need not be text
    signal.signal(signal.SIGTERM, exit_on_signal)
    # A photo of 90 to 179 million pixels is read; PIL would say two lines of an attack.
    warnings.filterwarnings("ignore", message=".*decompression bomb")
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has had enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        message = describe_error(error)
        if message is None:
            raise
        sys.stderr.write(f"error: {message}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    sys.exit(0)


def describe_error(error: Exception) -> str | None:
    """One line for what the user can mend; None for a bug of ours.

    A file that cannot be read or written, a full or a read-only disk, are the user's to mend.
    """
    if isinstance(error, SAVError):
        # Data loader workers send their traceback along; the message is at its end.
        return " ".join(str(error).rpartition(f"{SAVError.__name__}: ")[2].split())
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _DISK):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}cannot be read or written: {error.strerror}"
    return None
