"""Log lines as Detectron2's users know them: ``[MM/DD HH:MM:SS name]: message``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

_COLORS = {logging.WARNING: "\033[31m", logging.ERROR: "\033[1;31m", logging.CRITICAL: "\033[1;31m"}
_GREEN, _RESET = "\033[32m", "\033[0m"


class _Formatter(logging.Formatter):
    """Line format, optionally in colour, with the logger's root name abbreviated."""

    def __init__(self, root: str, abbreviation: str, color: bool) -> None:
        super().__init__(datefmt="%m/%d %H:%M:%S")
        self._root, self._abbreviation, self._color = root, abbreviation, color

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's own name)
        name = record.name
        if name == self._root or name.startswith(f"{self._root}."):
            name = self._abbreviation + name[len(self._root) :]
        head = f"[{self.formatTime(record, self.datefmt)} {name}]:"
        level = f"{record.levelname} " if record.levelno >= logging.WARNING else ""
        if self._color:
            head = f"{_GREEN}{head}{_RESET}"
            level = level and f"{_COLORS.get(record.levelno, '')}{level}{_RESET}"
        return f"{head} {level}{record.message}"


def setup_logger(
    output: str | None = None,
    distributed_rank: int = 0,
    *,
    color: bool = True,
    name: str = "sav",
    abbrev_name: str | None = None,
    enable_propagation: bool = False,
    configure_stdout: bool = True,
) -> logging.Logger:
    """Send a logger to stdout (first process) and to a file (every process).

    Calling it again with the same arguments adds nothing.

    Args:
        output: a file ending in .txt or .log, or a folder for ``log.txt``; processes other than the
            first add ``.rankN``. None writes no file.
        distributed_rank: number of this process.
        color: colour the lines on a terminal.
        name: the logger; its children are included.
        abbrev_name: what to show instead of ``name``.
        enable_propagation: also hand records to the parent loggers.
        configure_stdout: whether to log to stdout.

    Returns:
        The logger.
    """
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.propagate = enable_propagation
    abbreviation = name if abbrev_name is None else abbrev_name

    has_stdout = any(
        type(handler) is logging.StreamHandler and handler.stream is sys.stdout
        for handler in logger.handlers
    )
    if configure_stdout and distributed_rank == 0 and not has_stdout:
        stdout = logging.StreamHandler(sys.stdout)
        stdout.setLevel(logging.INFO)
        stdout.setFormatter(_Formatter(name, abbreviation, color and sys.stdout.isatty()))
        logger.addHandler(stdout)

    if output is not None:
        path = Path(output)
        if path.suffix not in (".txt", ".log"):
            path = path / "log.txt"
        if distributed_rank > 0:
            path = path.with_name(f"{path.name}.rank{distributed_rank}")
        path = path.resolve()
        open_files = {
            Path(handler.baseFilename)
            for handler in logger.handlers
            if isinstance(handler, logging.FileHandler)
        }
        if path not in open_files:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = logging.FileHandler(path, encoding="utf-8")
            file.setFormatter(_Formatter(name, abbreviation, color=False))
            logger.addHandler(file)
    return logger
