"""Findings of any kind, such as damage and dirt -> the part, side and vehicle on which they lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sav.errors import SAVError
from sav.formats.masks import Code, area, shared_code, shares_covered, visible_codes
from sav.formats.records import PartInstance
from sav.inspection.sides import SeenSide, Sides
from sav.ontology import Ontology

ASSIGNED, AMBIGUOUS, NO_PART = "assigned", "ambiguous", "no part"

LEAST = 0.25
"""Share of a finding that must lie on parts."""
CLEAR = 2.0
"""How many times as much of it the first part must hold as the second."""
_SHOWN = 0.01
"""Share of a finding from which an overlap is listed."""


@dataclass(frozen=True)
class Overlap:
    """A part on which a finding lies.

    Attributes:
        index: of the part, among those of the photo.
        name: of its class.
        side: where on the vehicle it lies, such as "front left"; "" where the graph does not say.
        vehicle_id: of its vehicle.
        score: of the part; None where it is annotated.
        share_of_finding: of the finding's pixels, those on this part, 0 to 1.
        share_of_part: of the part's pixels, those that the finding covers, 0 to 1.
    """

    index: int
    name: str
    side: str
    vehicle_id: int | None
    score: float | None
    share_of_finding: float
    share_of_part: float


@dataclass(frozen=True)
class Assignment:
    """Where a finding lies.

    Attributes:
        finding: that is assigned.
        status: "assigned" to the first overlap; "ambiguous" where several parts hold about as
            much; "no part".
        covered: share of the finding that lies on any part, 0 to 1.
        overlaps: the parts that hold at least a hundredth of it, those that hold most first.
        in_question: the first of the overlaps that may be the part: one where it is assigned,
            several where it is ambiguous, else none.
    """

    finding: PartInstance
    status: str
    covered: float
    overlaps: tuple[Overlap, ...]
    in_question: tuple[Overlap, ...]

    @property
    def part(self) -> Overlap | None:
        """The one that it is assigned to."""
        return self.in_question[0] if self.status == ASSIGNED else None

    @property
    def vehicle_id(self) -> int | None:
        """The vehicle of the parts in question, where it is one."""
        vehicles = {overlap.vehicle_id for overlap in self.in_question}
        return vehicles.pop() if len(vehicles) == 1 else None

    @property
    def side(self) -> str | None:
        """Where on the vehicle the parts in question lie, where it is one place; see Overlap."""
        sides = {overlap.side for overlap in self.in_question}
        return sides.pop() if len(sides) == 1 else None


class Assigner:
    """Assigns findings to parts by their overlap.

    A finding is "no part" where less than `least` of it lies on parts. It is "assigned" to the part
    that holds most of it where no other one holds more than 1/`clear` of that, and "ambiguous"
    otherwise. Where parts lie over one another a pixel is of the smallest: a plate on a bumper, a
    door on a body.

    Args:
        ontology: of the parts.
        least: in (0, 1].
        clear: at least 1, finite.

    Raises:
        SAVError: a threshold is out of range.
    """

    def __init__(self, ontology: Ontology, least: float = LEAST, clear: float = CLEAR) -> None:
        if not 0 < least <= 1:
            raise SAVError(f"the least share {least:g} is not above 0 and at most 1")
        if not 1 <= clear < math.inf:
            raise SAVError(f"{clear:g} times as much: give a number that is at least 1")
        self.ontology, self.least, self.clear = ontology, least, clear
        self._sides = Sides(ontology)

    def __call__(
        self, findings: Sequence[PartInstance], parts: Sequence[PartInstance]
    ) -> list[Assignment]:
        """Assign the findings of a photo.

        Args:
            findings: labels may be anything.
            parts: labels are the ontology's classes; masks are of the same size.
        """
        order = sorted(range(len(parts)), key=lambda row: -parts[row].area)
        seen = dict(zip(order, visible_codes([parts[row].code for row in order]), strict=True))
        codes = [seen[row] for row in range(len(parts))]
        return [self._assign(finding, parts, codes) for finding in findings]

    def seen_sides(self, parts: Sequence[PartInstance]) -> dict[int | None, SeenSide]:
        """From which side each vehicle is seen.

        Args:
            parts: of a photo.
        """
        members: dict[int | None, list[PartInstance]] = {}
        for part in parts:
            members.setdefault(part.vehicle_id, []).append(part)
        return {number: self._seen(own) for number, own in members.items()}

    def _seen(self, parts: Sequence[PartInstance]) -> SeenSide:
        weights = [part.area * (1 if part.score is None else part.score) for part in parts]
        return self._sides.seen([self.ontology.class_id(part.label) for part in parts], weights)

    def _assign(
        self, finding: PartInstance, parts: Sequence[PartInstance], codes: Sequence[Code]
    ) -> Assignment:
        if not parts:
            return Assignment(finding, NO_PART, 0.0, (), ())
        (shares,) = shares_covered([finding.code], codes).tolist()
        # What is seen of parts has no pixel twice.
        covered = min(sum(shares), 1.0)
        rows = [row for row, share in enumerate(shares) if share >= _SHOWN]
        rows.sort(key=lambda row: -shares[row])
        overlaps = tuple(
            self._overlap(row, parts[row], codes[row], finding, shares) for row in rows
        )
        if covered < self.least or not overlaps:
            return Assignment(finding, NO_PART, covered, overlaps, ())
        most = overlaps[0].share_of_finding
        rivals = tuple(o for o in overlaps[1:] if self.clear * o.share_of_finding > most)
        status = AMBIGUOUS if rivals else ASSIGNED
        return Assignment(finding, status, covered, overlaps, (overlaps[0], *rivals))

    def _overlap(
        self,
        row: int,
        part: PartInstance,
        code: Code,
        finding: PartInstance,
        shares: Sequence[float],
    ) -> Overlap:
        side = " ".join(self._sides.of_class[self.ontology.class_id(part.label)])
        of_part = area(shared_code(finding.code, code)) / area(code)
        known = row, part.label, side, part.vehicle_id, part.score
        return Overlap(*known, shares[row], of_part)
