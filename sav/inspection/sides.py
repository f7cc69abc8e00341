"""The side from which a vehicle is seen, told from its visible parts by the knowledge graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np

from sav.ontology import Ontology, Relation, available_ontologies, load_ontology

ENDS = {"front end": "front", "rear end": "rear"}
"""Concepts of a knowledge graph, and the side at which what is adjacent to them lies."""

AZIMUTHS = {
    **{"front": 0, "front left": 45, "left": 90, "rear left": 135},
    **{"rear": 180, "rear right": 225, "right": 270, "front right": 315},
}
"""Each side that a vehicle can be seen from, and degrees around it: 0 is its front, 90 its left."""

OPPOSITE = {"front": "rear", "rear": "front", "left": "right", "right": "left"}
UNKNOWN = "unknown"
CORNER = 0.15
"""Share of the evidence from which the smaller of two sides is named, too."""
BACKED = 0.03
"""Share of it that is left for that side without its largest part, where the ontology has several
there: one part may be a mistake, such as the side of a pickup's bed that is taken for its gate."""
AGREED = 0.3
"""Share of the evidence that must be left when opposite sides cancel each other."""

_PAIRS = (("front", "rear"), ("left", "right"))
_HALF_LENGTH, _HALF_WIDTH = 2.2, 0.9
"""Of a usual car, in metres."""


@dataclass(frozen=True)
class SeenSide:
    """From which side a vehicle is seen.

    Attributes:
        name: a key of AZIMUTHS, or "unknown".
        evidence: for "front", "rear", "left" and "right" the share of the visible parts' area that
            faces it, 0 to 1; all 0 where no part says anything.
    """

    name: str
    evidence: dict[str, float]

    @property
    def sides(self) -> frozenset[str]:
        """The one or two sides in its name; none where it is unknown."""
        return frozenset(() if self.name == UNKNOWN else self.name.split())

    @property
    def phrase(self) -> str:
        """In words, such as "seen from the front left"."""
        return "side unknown" if self.name == UNKNOWN else f"seen from the {self.name}"


class Sides:
    """Where on a vehicle the classes of an ontology lie, by its graph.

    A class lies at the front or the rear where it is adjacent to the concept "front end" or "rear
    end" (what is adjacent to both says nothing), and on its own left or right side. The class of a
    view lies where all its parts do: a trunk to which the bed of a pickup belongs is seen from the
    side, too, and says nothing.

    Args:
        ontology: C classes.

    Attributes:
        of_class: for each class up to two of "front", "rear", "left" and "right", the ends first.
    """

    def __init__(self, ontology: Ontology) -> None:
        self.of_class = _stated(ontology)
        self._positions = np.array([part.position for part in ontology.classes])
        if ontology.view_of in available_ontologies():
            graph = load_ontology(ontology.view_of)
            parts = dict(zip(graph.class_names, _stated(graph), strict=True))
            for i, union in enumerate(ontology.unions):
                own = self.of_class[i]
                self.of_class[i] = tuple(s for s in own if all(s in parts[p] for p in union.parts))

    def seen(self, class_ids: Sequence[int], weights: Sequence[float]) -> SeenSide:
        """Tell the side that a vehicle is seen from, by its visible parts.

        A part counts for the end at which it lies, or else for its left or right: a headlight is
        seen from the front, whichever it is. Opposite sides cancel each other, as a part that was
        taken for its mirror image, or both mirrors of a car seen from the front. Where little of
        the evidence is left by that (AGREED), or there is none, the side is unknown.

        Args:
            class_ids: (N,) of the visible parts.
            weights: (N,) their areas in pixels, which may be multiplied by their scores.
        """
        found: dict[str, list[float]] = {side: [] for side in OPPOSITE}
        for class_id, weight in zip(class_ids, weights, strict=True):
            if self.of_class[class_id]:
                found[self.of_class[class_id][0]].append(float(weight))
        whole = sum(map(sum, found.values()))
        share = {side: sum(own) / (whole or 1) for side, own in found.items()}
        nearer = [max(pair, key=lambda side: share[side]) for pair in _PAIRS]
        left = {side: share[side] - share[OPPOSITE[side]] for side in nearer}
        if sum(left.values()) < AGREED:
            return SeenSide(UNKNOWN, share)
        first = max(left, key=lambda side: left[side])
        words = [s for s in nearer if s == first or self._is_named(s, left, found[s], whole)]
        return SeenSide(" ".join(words), share)

    def _is_named(
        self, side: str, left: dict[str, float], parts: Sequence[float], whole: float
    ) -> bool:
        """Whether the smaller of two sides is seen, too, and not on the word of one part alone."""
        all_of_it = sum(left.values())
        known = [own for own in self.of_class if own[:1] == (side,)]
        without_largest = (sum(parts) - max(parts, default=0)) / (whole or 1)
        backed = len(known) == 1 or without_largest >= BACKED * all_of_it
        return backed and left[side] >= CORNER * all_of_it

    def places(self, side: str) -> np.ndarray:
        """About where each class is in a photo of the vehicle from a side, by the positions.

        Args:
            side: a key of AZIMUTHS.

        Returns:
            (C, 2) float64, to the right and down, in metres from the middle of a usual car.
        """
        angle = radians(AZIMUTHS[side])
        x, y, z = self._positions.T
        right = cos(angle) * y * _HALF_WIDTH - sin(angle) * x * _HALF_LENGTH
        return np.column_stack([right, -z])


def _stated(ontology: Ontology) -> list[tuple[str, ...]]:
    facts = set(ontology.relations)
    found = []
    for part in ontology.classes:
        ends = [s for end, s in ENDS.items() if Relation(part.name, "adjacent_to", end) in facts]
        own = [] if part.side == "none" else [part.side]
        found.append((*(ends if len(ends) == 1 else []), *own))
    return found
