"""Parts that should be seen from a side of a vehicle, and are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sav.inspection.priors import Visibility
from sav.inspection.sides import OPPOSITE, UNKNOWN, SeenSide, Sides
from sav.ontology import Ontology

EXPECTED = 0.8
"""Lower end of the 95% interval of a prior from which a part should be seen."""
_FEWEST = 20
"""Vehicles of which a prior is taken."""
_SMALLEST = 64
"""Pixels of the long side of a vehicle of which parts are missed."""


@dataclass(frozen=True)
class UnseenPart:
    """A part that should be seen from the side, and is not.

    It is possibly hidden, missing or missed by the model: this is all that is known.

    Attributes:
        name: of its class.
        class_id: in the ontology.
        sides: on which sides of the vehicle it lies, by the graph.
        next_to: seen parts that it is adjacent to, by the graph.
        share: of the vehicles behind the prior that show it, 0 to 1.
        low: lower end of the 95% interval of the share.
        vehicles: how many these are: they are seen from the same side, and show ``given``, too.
        given: a seen part next to it; None: all that are seen from the same side count.
    """

    name: str
    class_id: int
    sides: tuple[str, ...]
    next_to: tuple[str, ...]
    share: float
    low: float
    vehicles: float
    given: str | None


class Expectation:
    """Says which parts should be seen.

    Args:
        ontology: C classes.
        sides: of the same.
        visibility: counts of the same vocabulary; None where there are none.
    """

    def __init__(self, ontology: Ontology, sides: Sides, visibility: Visibility | None) -> None:
        self._ontology, self._sides, self._visibility = ontology, sides, visibility
        self._never = {*ontology.body_ids, *_general_ids(ontology)}
        facts = ontology.relations
        self._adjacent = {(f.subject, f.object) for f in facts if f.predicate == "adjacent_to"}

    def reason_not_to_judge(self, side: SeenSide, box: Sequence[int]) -> str:
        """Why nothing can be said of a vehicle's unseen parts; "" where something can.

        Args:
            side: from which it is seen.
            box: XYXY of the vehicle in pixels.
        """
        if self._visibility is None:
            return f"there are no priors of the vocabulary {self._ontology.name}"
        if side.name == UNKNOWN:
            return "the side is unknown"
        if max(box[2] - box[0], box[3] - box[1]) < _SMALLEST:
            return f"the vehicle is less than {_SMALLEST} pixels long"
        if self._visibility.rate(side.name)[1] < _FEWEST:
            return f"the priors know fewer than {_FEWEST} vehicles seen from the {side.name}"
        return ""

    def unseen(
        self, side: SeenSide, seen: Sequence[int], cut_off: Sequence[str]
    ) -> tuple[UnseenPart, ...]:
        """The parts that should be seen and are not, the surest first.

        By the graph, such a part does not lie on the far side alone. By the priors, nearly all
        vehicles that are seen from there show it, or nearly all of those of them that show a seen
        part next to it, too.

        Args:
            side: that is seen.
            seen: class ids of the visible parts.
            cut_off: edges of the photo beyond which the vehicle may go on; what lies farther out
                there than any visible part is left out.
        """
        names, sides = self._ontology.class_names, self._sides.of_class
        beyond = self._beyond(side.name, seen, cut_off)
        left_out = self._never.union(seen, np.flatnonzero(beyond).tolist())
        found = []
        for class_id, name in enumerate(names):
            if class_id in left_out or self._is_far(class_id, side):
                continue
            near = [i for i in dict.fromkeys(seen) if (name, names[i]) in self._adjacent]
            share, low, count, given = self._prior(side.name, class_id, near)
            if low >= EXPECTED:
                beside = tuple(names[i] for i in near)
                prior = share, low, count, None if given is None else names[given]
                found.append(UnseenPart(name, class_id, sides[class_id], beside, *prior))
        return tuple(sorted(found, key=lambda part: -part.low))

    def _is_far(self, class_id: int, side: SeenSide) -> bool:
        own = set(self._sides.of_class[class_id])
        return own.isdisjoint(side.sides) and not own.isdisjoint(OPPOSITE[s] for s in side.sides)

    def _prior(
        self, side: str, class_id: int, near: Sequence[int]
    ) -> tuple[float, float, float, int | None]:
        """The share, its lower end and the number of vehicles that say most; and what is given."""
        options = []
        for given in (None, *near):
            rate, count = self._visibility.rate(side, given)
            if count >= _FEWEST:
                share, low = float(rate.share[class_id]), float(rate.low[class_id])
                options.append((share, low, count, given))
        return max(options, key=lambda option: option[1])

    def _beyond(self, side: str, seen: Sequence[int], cut_off: Sequence[str]) -> np.ndarray:
        """(C,) bool: farther out than any visible part, at an edge where the vehicle is cut off."""
        at = self._sides.places(side)
        (left, top), (right, bottom) = at[list(seen)].min(0), at[list(seen)].max(0)
        outside = {
            **{"left": at[:, 0] < left, "top": at[:, 1] < top},
            **{"right": at[:, 0] > right, "bottom": at[:, 1] > bottom},
        }
        return np.any([np.zeros(len(at), bool), *(outside[edge] for edge in cut_off)], axis=0)


def _general_ids(ontology: Ontology) -> list[int]:
    """Classes that have all parts of another one and more: "a door" beside "the left door"."""
    unions = [set(union.parts) for union in ontology.unions]
    return [i for i, own in enumerate(unions) if any(other and other < own for other in unions)]
