"""One line of the diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What an item means for the user."""

    OK = "ok"
    ABSENT = "absent"
    """Optional and not there; SAV works without it."""
    WRONG = "wrong"
    """SAV does not work before it is mended."""


@dataclass(frozen=True)
class Item:
    """What was found.

    Attributes:
        name: unique in its section.
        value: for people to read; numbers stay numbers, for programs.
        status: what that means.
        mend: what to do about it; empty where nothing is to be done.
    """

    name: str
    value: str | int | float
    status: Status = Status.OK
    mend: str = ""


def wrong(name: str, value: str, mend: str) -> Item:
    """Something that must be mended."""
    return Item(name, value, Status.WRONG, mend)


def absent(name: str, value: str, mend: str = "") -> Item:
    """Something optional that is not there."""
    return Item(name, value, Status.ABSENT, mend)
