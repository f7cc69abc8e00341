"""What a check reports, how grave each kind is, and the order of the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from sav.check.photos import Mark, Photo


class Kind(NamedTuple):
    """A kind of fault.

    Attributes:
        title: for the report.
        gravity: what such a fault costs, in [0, 1].
    """

    title: str
    gravity: float


KINDS = {
    "broken": Kind("records that cannot be read", 1.0),
    "sides": Kind("left and right swapped", 1.0),
    "class": Kind("wrong class", 0.95),
    "twice": Kind("one mask with two classes, or twice", 0.9),
    "leak": Kind("copies of a photo, or of its vehicle, in another file", 0.9),
    "empty": Kind("empty masks", 0.9),
    "missing": Kind("parts that are not annotated", 0.75),
    "many": Kind("more instances than there can be", 0.8),
    "extra": Kind("parts where the model surely sees other ones", 0.7),
    "outline": Kind("parts that the model sees elsewhere", 0.65),
    "outside": Kind("parts outside their vehicle", 0.6),
    "together": Kind("parts that are not seen together", 0.6),
    "stray": Kind("stray pixels", 0.5),
    "flat": Kind("flat masks", 0.5),
    "overlap": Kind("parts that overlap", 0.35),
    "tiny": Kind("tiny masks", 0.35),
    "vehicle": Kind("parts of vehicles that are not annotated", 0.3),
}
"""By name, the gravest first."""

_OF_CLASSES = frozenset({"sides", "class", "together", "extra", "outline"})
"""Kinds that say that a part's class is wrong: of one part these are one fault."""


@dataclass(frozen=True)
class Finding:
    """A probable fault in one photo.

    Attributes:
        kind: of :data:`KINDS`.
        likelihood: that it is a fault, in [0, 1]; an estimate, for the order.
        photo: where it is.
        text: one line that says what is wrong.
        classes: names of the classes that it is about.
        parts: ids of the annotations that it is about, the most suspicious first.
        marks: what the picture shows.
        proposed: names of the classes that the parts should have.
    """

    kind: str
    likelihood: float
    photo: Photo
    text: str
    classes: tuple[str, ...] = ()
    parts: tuple[int, ...] = ()
    marks: tuple[Mark, ...] = ()
    proposed: tuple[str, ...] = ()

    @property
    def rank(self) -> float:
        """Gravity times likelihood."""
        return KINDS[self.kind].gravity * self.likelihood


def rank(findings: Iterable[Finding], least: float) -> list[Finding]:
    """Join what several checks say of one fault, and sort: the highest rank first.

    Args:
        findings: of any photos.
        least: those of a lower rank are left out.
    """
    of_photo = defaultdict(list)
    for finding in findings:
        of_photo[finding.photo.key].append(finding)
    ranked: list[Finding] = []
    for own in of_photo.values():
        kept: list[Finding] = []
        for finding in sorted(own, key=lambda f: -f.rank):
            place = next((i for i, other in enumerate(kept) if _is_one(other, finding)), None)
            if place is None:
                kept.append(finding)
            else:
                kept[place] = _join(kept[place], finding)
        ranked += [finding for finding in kept if finding.rank >= least]
    return sorted(ranked, key=lambda f: (-f.rank, f.photo.key))


def _is_one(first: Finding, second: Finding) -> bool:
    """Whether the second finding, of a lower rank, comes from the fault of the first one."""
    if first.kind == second.kind in ("sides", "broken", "vehicle", "leak"):
        return True
    if "missing" in (first.kind, second.kind):
        # A part that another class hides is missing, too.
        return bool({*_missing(first)} & {*_missing(second)})
    if {first.kind, second.kind} <= _OF_CLASSES:
        return second.parts[0] in first.parts
    if first.kind in _OF_CLASSES and second.kind == "overlap":
        return bool({*first.parts} & {*second.parts})
    return (first.kind, first.parts) == (second.kind, second.parts)


def _missing(finding: Finding) -> tuple[str, ...]:
    return finding.classes if finding.kind == "missing" else finding.proposed


def _join(first: Finding, second: Finding) -> Finding:
    """Two checks that err independently are together surer than each alone.

    Priors and model expect the same parts, by what they have seen: there the surer one counts.
    """
    new = [text for text in second.text.split("; ") if text not in first.text]
    joined = replace(first, text="; ".join([first.text, *new]))
    if second.kind != first.kind:
        return joined
    sure = 1 - (1 - first.likelihood) * (1 - second.likelihood)
    return replace(
        joined,
        likelihood=first.likelihood if first.kind == "missing" else sure,
        classes=_union(first.classes, second.classes),
        parts=_union(first.parts, second.parts),
        marks=first.marks + tuple(m for m in second.marks if m.predicted or first.kind == "sides"),
        proposed=_union(first.proposed, second.proposed),
    )


def _union(first: tuple, second: tuple) -> tuple:
    return (*first, *(one for one in second if one not in first))
