"""Log lines as Detectron2's users know them: ``[MM/DD HH:MM:SS name]: message``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

_GREEN, _RED, _RESET = "\033[32m", "\033[31m", "\033[0m"


class _Formatter(logging.Formatter):
    """Line format, optionally in colour."""

    def __init__(self, color: bool) -> None:
        super().__init__(datefmt="%m/%d %H:%M:%S")
        self._color = color

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's own name)
        head = f"[{self.formatTime(record, self.datefmt)} {record.name}]:"
        level = f"{record.levelname} " if record.levelno >= logging.WARNING else ""
        if self._color:
            head = f"{_GREEN}{head}{_RESET}"
            level = level and f"{_RED}{level}{_RESET}"
        return f"{head} {level}{record.message}"


def setup_logger(
    output: str | None = None, distributed_rank: int = 0, *, name: str = "sav"
) -> logging.Logger:
    """Send a logger to stdout (first process) and to a file (every process).

    Calling it again with the same arguments adds nothing.

    Args:
        output: folder of ``log.txt``; processes other than the first add ``.rankN``. None writes no
            file.
        distributed_rank: number of this process.
        name: the logger; its children are included.

    Returns:
        The logger.
    """
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    handlers = logger.handlers
    if distributed_rank == 0 and not any(
        type(handler) is logging.StreamHandler and handler.stream is sys.stdout
        for handler in handlers
    ):
        stdout = logging.StreamHandler(sys.stdout)
        stdout.setLevel(logging.INFO)
        stdout.setFormatter(_Formatter(color=sys.stdout.isatty()))
        logger.addHandler(stdout)
    if output is not None:
        rank = f".rank{distributed_rank}" if distributed_rank else ""
        path = Path(output, f"log.txt{rank}").resolve()
        open_files = [h.baseFilename for h in handlers if isinstance(h, logging.FileHandler)]
        if str(path) not in open_files:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = logging.FileHandler(path, encoding="utf-8")
            file.setFormatter(_Formatter(color=False))
            logger.addHandler(file)
    return logger
