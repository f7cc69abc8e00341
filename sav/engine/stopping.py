"""Stopping a training with Ctrl-C or SIGTERM in good order."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

from sav.d2 import HookBase, comm
from sav.engine.hooks import LastCheckpoints

STDERR = 2

logger = logging.getLogger(__name__)


class StopOnSignal(HookBase):
    """Ends the training after the present iteration when a signal asks for it, with a checkpoint.

    The first Ctrl-C is noted, and the second one ends the process at once. SIGTERM is noted as
    often as it comes: `timeout` and `make` pass it on, so that it comes twice. A run that goes on
    from the checkpoint ends like one that was never stopped.

    Several processes tell one another after each iteration, so all of them end after the same one,
    whichever of them the signal reaches. While they wait for a process that has died they can only
    be killed, which is what :func:`~sav.d2.launch` and ``torchrun`` do.

    Args:
        checkpoints: writes the checkpoint; None in a process that writes none.

    Attributes:
        stopped: whether it has ended the training.
    """

    def __init__(self, checkpoints: LastCheckpoints | None) -> None:
        self._checkpoints = checkpoints
        self._process = os.getpid()
        self._before: dict[int, Any] = {}
        self._noted: int | None = None
        self.stopped = False

    def before_train(self) -> None:
        """Take the signals over; :meth:`release` gives them back."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)

    def release(self) -> None:
        """Let the signals do what they did before."""
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(number, self._before.pop(number, signal.SIG_DFL))
        # Loader workers inherit this handler; their process says it for them.
        if self._noted is None and os.getpid() == self._process and comm.is_main_process():
            # Not by the log: the handler may have interrupted a line of it.
            with suppress(OSError):
                os.write(STDERR, b"stopping after this iteration; Ctrl-C stops at once\n")
        self._noted = self._noted or number

    def after_step(self) -> None:
        """Write a checkpoint and end the training, if a signal came to any of the processes.

        Raises:
            KeyboardInterrupt: after Ctrl-C.
            SystemExit: after SIGTERM.
        """
        number = max(comm.all_gather(self._noted or 0))
        if not number:
            return
        self.stopped = True
        if self._checkpoints is not None:
            self._checkpoints.save_now()
        logger.info(
            "Stopped by %s after iteration %d, which is in the checkpoint. The same command with "
            "--resume goes on from there",
            signal.Signals(number).name,
            self.trainer.iter,
        )
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)
