"""What the priors of the graph say of a vehicle's layout: sides and classes that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sav.check.finding import Finding
from sav.check.photos import Part, Photo
from sav.ontology import Ontology
from sav.ontology.priors import Priors

FEWEST = 20
"""Vehicles from which the priors of a class, or of a pair of classes, are believed."""

_BLUR = np.array([0.04, 0.04])
"""Added to spreads of offsets, of the vehicle's box: annotations are not exact."""
_TAILS = 4.0
"""Degrees of freedom of Student's t: priors have outliers, the faults that are looked for."""
_WORST = 4.0
"""Most that one pair of parts can say, in nats."""
_SWAPPED = 0.3
"""Gain from which sides are called swapped: of DSMLR's 400 vehicles 0 to 0.15 is common."""
_OTHER = 1.3
"""Gain from which another class is proposed."""
_SEVERAL = 0.05
"""Share of vehicles with two parts of a class from which its place says little: wheels."""


class Layout:
    """Scores the classes of a vehicle's parts by how pairs of them lie.

    Args:
        ontology: C classes.
        priors: of the same vocabulary.
    """

    def __init__(self, ontology: Ontology, priors: Priors) -> None:
        self.ontology = ontology
        self.mirror = np.array(ontology.mirror_ids)
        self._known = np.minimum(priors.together, priors.pairs) >= FEWEST
        self._mean = priors.offset
        self._spread = np.hypot(priors.spread, _BLUR)
        # Of the vehicles that show either, how many show both.
        either = priors.seen[:, None] + priors.seen - priors.together
        self._together = np.log((priors.together + 0.5) / (either + 1))
        self.single = np.diag(priors.co_visibility.share) < _SEVERAL

    def check(self, photo: Photo) -> Iterator[Finding]:
        """Look at each vehicle of a photo."""
        for parts in photo.vehicles():
            boxes = np.array([part.box for part in parts])
            classes = np.array([part.class_id for part in parts])
            swapped, gain = self.swapped(boxes, classes)
            if gain >= _SWAPPED:
                yield self._swap_finding(photo, [parts[row] for row in swapped], gain)
            for row, other, better in self.misfits(boxes, classes):
                if row not in swapped and better >= _OTHER:
                    yield self._class_finding(photo, parts[row], other, better)

    def _swap_finding(self, photo: Photo, parts: list[Part], gain: float) -> Finding:
        names = [self.ontology.class_names[part.class_id] for part in parts]
        return Finding(
            "sides",
            1 - float(np.exp(-1.5 * gain)),
            photo,
            f"{', '.join(names)} would fit the other parts better in the mirror",
            tuple(names),
            tuple(part.id for part in parts),
            tuple(part.mark for part in parts),
            tuple(self.ontology.class_names[self.mirror[part.class_id]] for part in parts),
        )

    def _class_finding(self, photo: Photo, part: Part, other: int, gain: float) -> Finding:
        name, better = (self.ontology.class_names[i] for i in (part.class_id, other))
        return Finding(
            "class",
            1 - float(np.exp(-0.4 * gain)),
            photo,
            f"{name} lies where {better} does",
            (name,),
            (part.id,),
            (part.mark,),
            (better,),
        )

    def swapped(self, boxes: np.ndarray, classes: np.ndarray) -> tuple[list[int], float]:
        """The parts of a vehicle that would fit better in the mirror, together.

        Args:
            boxes: (M, 4) XYXY of the parts.
            classes: (M,) class ids.

        Returns:
            their rows, and by how much: nats a pair of parts; no row and 0 where all fit.
        """
        sided = np.flatnonzero(self.mirror[classes] != classes).tolist()
        steps, other = _steps(boxes), self.mirror[classes]
        first, second = classes[:, None], classes[None]
        one = self._gains(steps, (first, second), (other[:, None], second))
        both = self._gains(steps, (first, second), (other[:, None], other[None])) / 2

        def gain(rows: frozenset[int]) -> float:
            inside = np.array(sorted(rows), dtype=int)
            outside = np.setdiff1d(np.arange(len(classes)), inside)
            return float(one[np.ix_(inside, outside)].sum() + both[np.ix_(inside, inside)].sum())

        starts = (frozenset(), frozenset(sided))
        best = max((_climb(gain, start, sided) for start in starts), key=gain)
        return sorted(best), gain(best) / max(len(best), 1)

    def misfits(self, boxes: np.ndarray, classes: np.ndarray) -> Iterator[tuple[int, int, float]]:
        """The parts that would fit better as another class, its mirror left out.

        Args:
            boxes: (M, 4) XYXY of the parts of a vehicle.
            classes: (M,) class ids.

        Yields:
            row, class id that fits best, and by how much: nats a pair of parts.
        """
        steps = _steps(boxes)
        free = [i for i in np.flatnonzero(self.single) if i not in classes]
        for row, class_id in enumerate(classes.tolist()):
            others = np.array([i for i in free if i != self.mirror[class_id]])
            if not self.single[class_id] or not len(others):
                continue
            now, then = (class_id, classes), (others[:, None], classes[None])
            gains = self._gains(steps[row], now, then, itself=row).sum(-1)
            best = int(gains.argmax())
            yield row, int(others[best]), float(gains[best])

    def _gains(
        self,
        steps: np.ndarray,
        now: tuple[np.ndarray | int, np.ndarray],
        then: tuple[np.ndarray, np.ndarray],
        itself: int | None = None,
    ) -> np.ndarray:
        """What pairs of parts gain by other classes, so that the sum over a row is a mean.

        Args:
            steps: (..., M, 2) from the first part of a pair to the second one.
            now: class ids of the first and the second part, which broadcast to (..., M).
            then: the same, after the change.
            itself: which of the M the first part is; None: the rows are in their order.
        """
        count = steps.shape[-2]
        gain = self._scores(steps, *then) - self._scores(steps, *now)
        known = self._known[now] & self._known[then]
        apart = ~np.eye(count, dtype=bool) if itself is None else np.arange(count) != itself
        return np.clip(gain, -_WORST, _WORST) * (known & apart) / max(count - 1, 1)

    def _scores(self, steps: np.ndarray, first: np.ndarray | int, second: np.ndarray) -> np.ndarray:
        """Log-likelihood that two classes are seen together, and lie like this."""
        mean, spread = self._mean[first, second], self._spread[first, second]
        squares = ((steps - mean) / spread) ** 2
        density = -np.log(spread) - (_TAILS + 1) / 2 * np.log1p(squares / _TAILS)
        return density.sum(-1) + self._together[first, second]


def _steps(boxes: np.ndarray) -> np.ndarray:
    """(M, M, 2) between centres of boxes, in the frame of the priors: the box around all parts."""
    low, high = boxes[:, :2].astype(float), boxes[:, 2:].astype(float)
    centres = (low + high) / 2 / (high.max(0) - low.min(0))
    return centres[None] - centres[:, None]


def _climb(
    gain: Callable[[frozenset[int]], float], start: frozenset[int], rows: Sequence[int]
) -> frozenset[int]:
    """Move one row at a time into or out of a set while that gains something."""
    best = start
    while True:
        top = max((best ^ {row} for row in rows), key=gain, default=best)
        if gain(top) <= gain(best) + 1e-9:
            return best
        best = top
