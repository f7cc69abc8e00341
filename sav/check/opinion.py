"""What a model sees where the annotations say something else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco_mask

from sav.check.finding import Finding
from sav.check.photos import Mark, Part, Photo
from sav.formats.masks import encode_mask
from sav.ontology import Ontology

if TYPE_CHECKING:
    from sav.d2 import Instances

_SURE = 0.5
"""Score from which the model's word counts against an annotation."""
_SAME = 0.5
"""IoU of two masks of one thing."""
_ELSEWHERE = 0.2
"""IoU up to which two masks of one class disagree about where the part is."""
_COVERED = 0.8
"""Share of a part that another thing covers which the model sees in its place."""
_TRUST = 5.0
"""How many times likelier a fault is, as odds, where the model surely sees what the priors propose,
and how many times less likely where it surely sees what is annotated."""


@dataclass(frozen=True, eq=False)
class Opinion:
    """What a model sees in a photo.

    Attributes:
        codes: N run-length codes.
        classes: (N,) int64.
        scores: (N,) in [0, 1].
    """

    codes: list[dict[str, Any]]
    classes: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, found: Instances) -> Opinion:
        """From a prediction."""
        codes = [encode_mask(mask) for mask in found.pred_masks.numpy()]
        return cls(codes, found.pred_classes.numpy(), found.scores.numpy())


class Comparison:
    """Of the M annotated parts of a photo with the N that a model sees.

    Args:
        photo: with its annotations.
        opinion: of the same photo.
        ontology: of both.
    """

    def __init__(self, photo: Photo, opinion: Opinion, ontology: Ontology) -> None:
        self._photo, self._ontology = photo, ontology
        self._parts = [part for part in photo.parts if part.area]
        self._codes, self._scores = opinion.codes, opinion.scores
        self._seen = opinion.classes
        self._annotated = np.array([part.class_id for part in self._parts], dtype=np.int64)
        self._mirror = np.array(ontology.mirror_ids)
        self._overlap()
        self._agreed = self._annotated[:, None] == self._seen

    def _overlap(self) -> None:
        """IoU, and the share of the annotated and of the seen part that the other one covers."""
        own = np.array([part.area for part in self._parts], dtype=float)[:, None]
        seen = np.array([int(coco_mask.area(code)) for code in self._codes], dtype=float)
        self._iou = np.zeros((len(own), len(seen)))
        if self._iou.size:
            codes = [part.code for part in self._parts]
            self._iou[:] = coco_mask.iou(codes, self._codes, [0] * len(seen))
        shared = self._iou * (own + seen) / (1 + self._iou)
        self._covered, self._filled = shared / own, shared / np.maximum(seen, 1)

    def findings(self) -> Iterator[Finding]:
        """Where the two disagree and the model is sure."""
        for row, part in enumerate(self._parts):
            yield from self._check_class(row, part)
            yield from self._check_place(row, part)
        for column in np.flatnonzero(self._scores >= _SURE).tolist():
            yield from self._check_missing(column)

    def temper(self, finding: Finding) -> Finding:
        """Weigh what the priors find by what the model sees there.

        Args:
            finding: of this photo, by the priors.
        """
        if finding.kind == "missing":
            (class_id,) = map(self._ontology.class_id, finding.classes)
            evidence = 2 * self._scores[self._seen == class_id].max(initial=0) - 1
        else:
            rows = [i for i, part in enumerate(self._parts) if part.id in finding.parts]
            proposed = np.isin(self._seen, [*map(self._ontology.class_id, finding.proposed)])
            votes = np.where(self._agreed[rows], -1, np.where(proposed, 1, 0)) * self._scores
            # Silence says nothing: the model overlooks small parts.
            evidence = (votes * (self._iou[rows] >= _SAME)).sum(1).clip(-1, 1).mean()
        odds = _TRUST ** float(evidence) * finding.likelihood
        return replace(finding, likelihood=odds / (odds + 1 - finding.likelihood))

    def _check_class(self, row: int, part: Part) -> Iterator[Finding]:
        """A part whose mask the model sees too, and calls something else."""
        weight = self._scores * self._iou[row]
        against = np.where(~self._agreed[row] & (self._iou[row] >= _SAME), weight, 0)
        by_cover = np.where(~self._agreed[row] & (self._covered[row] >= _COVERED), self._scores, 0)
        agreed = float(np.where(self._agreed[row], weight, 0).max(initial=0))
        if against.max(initial=0) > agreed and self._scores[against.argmax()] >= _SURE:
            column = int(against.argmax())
            sides = self._seen[column] == self._mirror[part.class_id]
            likely = float(self._scores[column]) * (1 - agreed / float(against[column]))
            yield self._finding("sides" if sides else "class", likely, part, column, "at")
        elif by_cover.max(initial=0) >= _SURE and not self._is_there(part.class_id):
            column = int(by_cover.argmax())
            yield self._finding("extra", 0.6 * float(by_cover[column]), part, column, "all over")

    def _is_there(self, class_id: int) -> bool:
        """Whether the model sees a class, or its mirror, at all."""
        return bool(np.isin(self._seen, [class_id, self._mirror[class_id]]).any())

    def _check_place(self, row: int, part: Part) -> Iterator[Finding]:
        """A part that the model sees somewhere else, where none of its class is annotated."""
        taken = ((self._iou > _ELSEWHERE) & self._agreed).any(0)
        alike = np.where(self._agreed[row] & ~taken, self._scores, 0)
        here = np.where(self._agreed[row], self._iou[row], 0).max(initial=0)
        if alike.max(initial=0) >= _SURE and here <= _ELSEWHERE:
            column = int(alike.argmax())
            yield self._finding("outline", 0.8 * float(alike[column]), part, column, "away from")

    def _check_missing(self, column: int) -> Iterator[Finding]:
        """A part that the model sees where nothing of the kind is annotated."""
        class_id = int(self._seen[column])
        alike = np.isin(self._annotated, [class_id, self._mirror[class_id]])
        touched = (self._filled[:, column] > _ELSEWHERE) & alike
        if touched.any() or (self._iou[:, column] >= _SAME).any():
            return
        name, score = self._ontology.class_names[class_id], float(self._scores[column])
        yield Finding(
            "missing" if self._is_near(column) else "vehicle",
            score,
            self._photo,
            f"{name}: the model sees one ({score:.0%}) where none is annotated",
            (name,),
            (),
            (self._mark(column),),
        )

    def _is_near(self, column: int) -> bool:
        """Whether its middle lies in the box around the annotated parts of a vehicle, or nearly."""
        x, y, width, height = coco_mask.toBbox(self._codes[column]).tolist()
        middle = np.array([x + width / 2, y + height / 2])
        for parts in self._photo.vehicles():
            boxes = np.array([part.box for part in parts])
            low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
            margin = _ELSEWHERE * np.minimum(high - low, [width, height])
            if (low - margin <= middle).all() and (middle <= high + margin).all():
                return True
        return False

    def _finding(
        self, kind: str, likelihood: float, part: Part, column: int, where: str
    ) -> Finding:
        name = self._ontology.class_names[part.class_id]
        seen = self._ontology.class_names[self._seen[column]]
        text = f"the model sees {seen} {where} {name} ({self._scores[column]:.0%})"
        marks = (part.mark, self._mark(column))
        return Finding(kind, likelihood, self._photo, text, (name,), (part.id,), marks, (seen,))

    def _mark(self, column: int) -> Mark:
        return Mark(self._codes[column], int(self._seen[column]), predicted=True)
