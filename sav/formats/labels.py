"""The names that files give to parts -> the classes of a vocabulary."""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sav.errors import SAVError

_CLOSE = 0.6
_LONGEST = 100
"""Characters of a label that is compared with others: the time grows with their square."""
_SEPARATORS = str.maketrans("_-", "  ")


class UnknownLabelError(SAVError):
    """A label that is no class."""


@dataclass(frozen=True)
class Unnamed:
    """The label of a class of which the data have the number, from 0, but no name."""

    number: int


@dataclass(frozen=True)
class Labels:
    """How the labels of a file are read.

    Attributes:
        known: names of the classes; None takes every label as it is.
        vocabulary: what errors call them.
        rename: other names of classes.
        ignore: labels that are not asked for.
        by_number: classes of which the data have numbers only are those of ``known``, in order.
    """

    known: Sequence[str] | None = None
    vocabulary: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    ignore: frozenset[str] = frozenset()
    by_number: bool = False

    def __post_init__(self) -> None:
        for old, new in self.rename.items():
            if self.known is not None and new not in (*self.known, *self._classes):
                raise SAVError(f"--rename {old}={new}: {self._unknown(new)}")
            if old in self.ignore:
                raise SAVError(f"--rename {old}={new}: --ignore has it, too")

    def read(self, label: Any, notes: Counter[str]) -> str | None:
        """The class of a label; None where it is to be ignored.

        Args:
            label: as the file has it; spaces around it, and Unicode's forms, do not count.
            notes: counts what was renamed and ignored.

        Raises:
            UnknownLabelError: it is no class.
            SAVError: it is no text.
        """
        if isinstance(label, Unnamed):
            label = self._numbered(label.number)
        if not isinstance(label, str) or not label.strip():
            said = (
                "no label" if label is None or isinstance(label, str) else "a label that is no text"
            )
            raise SAVError(f"it has {said}")
        label = plain_label(label)
        if label in self.ignore:
            notes[f"label '{label}' ignored"] += 1
            return None
        if label in self.rename:
            notes[f"label '{label}' read as '{self.rename[label]}'"] += 1
            return self._classes.get(self.rename[label], self.rename[label])
        if self.known is None:
            return label
        if label not in self._classes:
            raise UnknownLabelError(self._unknown(label))
        return self._classes[label]

    @cached_property
    def _classes(self) -> dict[str, str]:
        """Classes by their names as they are compared."""
        return {plain_label(name): name for name in self.known or ()}

    def _numbered(self, number: int) -> str:
        known = self.known if self.by_number and self.known is not None else ()
        if 0 <= number < len(known):
            return known[number]
        if known:
            raise SAVError(f"there is no class {number}; the {len(known)} classes count from 0")
        raise SAVError(
            f"class {number} has no name in the data; put a file with the names beside them "
            "(datasets/README.md says which), or read numbers as the classes of --ontology, in "
            "their order, with --by-number"
        )

    def _unknown(self, label: str) -> str:
        if label not in self._hints:
            self._hints[label] = self._hint(label)
        return f"label '{label}' is not in the ontology {self.vocabulary}; {self._hints[label]}"

    @cached_property
    def _hints(self) -> dict[str, str]:
        """Of labels that were asked for: comparing names takes a millisecond."""
        return {}

    def _hint(self, label: str) -> str:
        close = self._closest(label)
        if close is None:
            return f"--rename '{label}=CLASS' or --ignore '{label}'"
        return f"did you mean '{close}'? --rename '{label}={close}', or --ignore '{label}'"

    def _closest(self, label: str) -> str | None:
        if len(label) > _LONGEST:
            return None
        plain = {_plain(name): name for name in reversed(self.known or ())}
        (close,) = difflib.get_close_matches(_plain(label), plain, 1, _CLOSE) or (None,)
        return None if close is None else plain[close]


def plain_label(label: str) -> str:
    """A label without the spaces around it, in one of Unicode's forms; so are those compared."""
    return unicodedata.normalize("NFC", label.strip())


def _plain(label: str) -> str:
    return " ".join(label.casefold().translate(_SEPARATORS).split())
