"""How a process of ours ends."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from sav.errors import SAVError


def exit_on_signal(number: int, frame: FrameType | None) -> NoReturn:
    """For ``signal.signal``: end like an error, so that every ``finally`` has its turn."""
    sys.exit(128 + number)


def run_command(main: Callable[[], None]) -> NoReturn:
    """Run a command-line entry point and turn user errors into one line and an exit code.

    SIGTERM ends it like an error, so that no child process and no temporary file is left behind.

    Args:
        main: the command. Any exception other than :class:`SAVError` and an interrupt is a bug of
            ours and keeps its traceback.
    """
    signal.signal(signal.SIGTERM, exit_on_signal)
    try:
        main()
    except SAVError as error:
        # Data loader workers send their traceback along; the message is at its end.
        message = str(error).rpartition(f"{SAVError.__name__}: ")[2]
        sys.stderr.write(f"error: {' '.join(message.split())}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    sys.exit(0)
