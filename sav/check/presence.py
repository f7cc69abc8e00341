"""Which parts a vehicle shows: too many, such as are not seen together, and such as should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from sav.check.finding import Finding
from sav.check.layout import FEWEST
from sav.check.photos import Part, Photo
from sav.ontology import Ontology
from sav.ontology.priors import Priors
from sav.ontology.rate import Rate

_RARE = 0.05
"""Of what chance would give: classes that are together less often exclude each other."""
_EXPECTED = 0.8
"""Share of similar vehicles with a part, at least, from which it should be there."""
_SIMILAR = 1
"""Classes by which the parts of similar vehicles differ at most."""
_EDGE = 0.02
"""Of the photo's size: a vehicle that comes nearer to an edge may go on beyond it."""


class Presence:
    """Knows which classes the vehicles of the data show.

    Args:
        ontology: C classes.
        priors: of the same vocabulary.
        photos: all of them.
    """

    def __init__(self, ontology: Ontology, priors: Priors, photos: Iterable[Photo]) -> None:
        self.ontology = ontology
        shown = [self._shown(parts) for photo in photos for parts in photo.vehicles()]
        own = np.array(shown, dtype=np.float32).reshape(-1, len(ontology))
        # As in the priors: each vehicle, and its mirror image.
        self._vehicles = np.concatenate([own, own[:, ontology.mirror_ids]])
        chance = np.outer(priors.seen, priors.seen) / max(priors.vehicles, 1)
        self._exclusive = (chance >= FEWEST / 2) & (priors.together <= _RARE * chance)
        np.fill_diagonal(self._exclusive, False)

    def _shown(self, parts: list[Part]) -> np.ndarray:
        shown = np.zeros(len(self.ontology), dtype=np.float32)
        shown[[part.class_id for part in parts]] = 1
        return shown

    def check(self, photo: Photo) -> Iterator[Finding]:
        """Look at each vehicle of a photo."""
        for parts in photo.vehicles():
            yield from self._many(photo, parts)
            yield from self._exclusions(photo, parts)
            yield from self._missing(photo, parts)

    def _many(self, photo: Photo, parts: list[Part]) -> Iterator[Finding]:
        for class_id, count in Counter(part.class_id for part in parts).items():
            once = class_id in self.ontology.once_ids
            most = 1 if once else self.ontology.slots[class_id]
            if count > most:
                text = f"{count} of one vehicle, which has {most} at most"
                own = [part for part in parts if part.class_id == class_id]
                yield self._finding("many", 0.8, photo, own, text)

    def _exclusions(self, photo: Photo, parts: list[Part]) -> Iterator[Finding]:
        """One finding for the part that is in most contradictions, then for the next."""
        left = list(parts)
        while len(left) > 1:
            classes = [part.class_id for part in left]
            against = self._exclusive[np.ix_(classes, classes)]
            worst = int(against.sum(1).argmax())
            if not against[worst].any():
                return
            others = [part for part, bad in zip(left, against[worst], strict=True) if bad]
            names = ", ".join(self.ontology.class_names[part.class_id] for part in others)
            text = f"hardly ever seen together with {names}"
            yield self._finding("together", 0.5, photo, [left[worst], *others], text)
            left.pop(worst)

    def _missing(self, photo: Photo, parts: list[Part]) -> Iterator[Finding]:
        if _is_cut(photo, parts):
            return
        shown = self._shown(parts)
        apart = np.abs(self._vehicles - shown)
        total = apart.sum(1)
        for class_id in np.flatnonzero(shown == 0).tolist():
            similar = (total - apart[:, class_id]) <= _SIMILAR
            # The vehicle itself, which does not show it, is among them.
            count = int(similar.sum()) - 1
            with_it = self._vehicles[similar, class_id].sum(dtype=float)
            rate = Rate.from_counts(with_it, count)
            if count < FEWEST or rate.low < _EXPECTED:
                continue
            name = self.ontology.class_names[class_id]
            text = f"{name}: {rate.share:.0%} of {count} similar vehicles show one"
            marks = tuple(part.mark for part in parts)
            yield Finding("missing", 0.5 * float(rate.low), photo, text, (name,), (), marks)

    def _finding(
        self, kind: str, likelihood: float, photo: Photo, parts: list[Part], text: str
    ) -> Finding:
        name = self.ontology.class_names[parts[0].class_id]
        ids, marks = tuple(part.id for part in parts), tuple(part.mark for part in parts)
        return Finding(kind, likelihood, photo, f"{name}: {text}", (name,), ids, marks)


def _is_cut(photo: Photo, parts: list[Part]) -> bool:
    """Whether the photo may show only a piece of the vehicle."""
    boxes = np.array([part.box for part in parts])
    size = np.array(photo.size[::-1])
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    return bool((low < _EDGE * size).any() or (high > (1 - _EDGE) * size).any())


def crowded(photos: Iterable[Photo], ontology: Ontology) -> list[str]:
    """A line on the photos that show more of a class than a model has queries for, if any do."""
    number = sum(
        any(
            count > ontology.slots[class_id]
            for class_id, count in Counter(part.class_id for part in photo.parts).items()
        )
        for photo in photos
    )
    what = "photos show more instances of a class than its max_instances"
    return [f"{number} {what}: a model has no queries for the rest"] if number else []
