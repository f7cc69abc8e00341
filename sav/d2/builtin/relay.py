"""Errors that come from another process as the text of a traceback."""

from __future__ import annotations


def relayed_message(error: BaseException) -> str | None:
    """Return the message of the ``SAVError`` that a worker raised, or None if it was not one.

    Args:
        error: what torch raised here; its text ends with the traceback of the worker.
    """
    head, _, message = str(error).rstrip().rpartition("sav.errors.SAVError: ")
    return message if head else None
