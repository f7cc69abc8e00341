"""What is seen of each vehicle of a photo, what is not, and from which side: plain facts as data.

Nothing here reads a file or a photo: the parts may come from the predictor, an annotator or a web
page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sav.errors import SAVError
from sav.formats.masks import mask_box
from sav.inspection.priors import Visibility, shipped_visibility
from sav.inspection.sides import SeenSide, Sides
from sav.inspection.unseen import Expectation, UnseenPart
from sav.ontology import Ontology

if TYPE_CHECKING:
    from sav.d2 import Instances

SCHEMA = "sav-report/1"
_EDGE = 0.01
"""Of the photo's size: a vehicle that comes nearer to an edge may go on beyond it."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class SeenPart:
    """A part that is visible.

    Attributes:
        index: its row in the instances.
        name: of its class.
        class_id: in the ontology.
        score: in [0, 1]; None where the instances have none.
        box: XYXY in pixels.
        area: in pixels.
        share: of the area of the vehicle, 0 to 1.
    """

    index: int
    name: str
    class_id: int
    score: float | None
    box: Box
    area: int
    share: float


@dataclass(frozen=True)
class VehicleReport:
    """What is known of one vehicle.

    Attributes:
        vehicle_id: as in the instances.
        side: from which it is seen.
        box: XYXY in pixels, around its parts.
        area: pixels of its parts together.
        cut_off: edges of the photo beyond which it may go on: "left", "top", "right", "bottom".
        parts: the visible ones, the largest first.
        unseen: those that should be seen, the surest first; empty where ``not_judged`` says why.
        not_judged: why nothing is said of parts that are not seen; "" where something is.
    """

    vehicle_id: int
    side: SeenSide
    box: Box
    area: int
    cut_off: tuple[str, ...]
    parts: tuple[SeenPart, ...]
    unseen: tuple[UnseenPart, ...]
    not_judged: str


@dataclass(frozen=True)
class PhotoReport:
    """What is known of a photo.

    Attributes:
        width: in pixels.
        height: in pixels.
        ontology: name of the vocabulary.
        prior: what the priors are counted from; None without priors.
        vehicles: the largest first.
    """

    width: int
    height: int
    ontology: str
    prior: str | None
    vehicles: tuple[VehicleReport, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON, as report.schema.json describes it; without the photo's file."""
        return {
            **{"schema": SCHEMA, "width": self.width, "height": self.height},
            **{"ontology": self.ontology, "prior": self.prior},
            "vehicles": [_plain(vehicle) for vehicle in self.vehicles],
        }


def inspect(
    parts: Instances, ontology: Ontology, visibility: Visibility | None = None
) -> PhotoReport:
    """Report on the parts of a photo; of many photos an :class:`Inspector` does it faster.

    Example::

        report = sav.inspect(predictor(image), predictor.ontology)
        for vehicle in report.vehicles:
            print(vehicle.side.name, [part.name for part in vehicle.unseen])

    Args:
        parts: see :meth:`Inspector.__call__`.
        ontology: of their classes.
        visibility: see :class:`Inspector`.

    Raises:
        SAVError: the counts are of another vocabulary.
    """
    return Inspector(ontology, visibility)(parts)


class Inspector:
    """Reports on the parts of photos.

    Args:
        ontology: of their classes.
        visibility: which parts vehicles show from each side; None takes the counts that SAV comes
            with, which know `vehicle` and its views.

    Raises:
        SAVError: the counts are of another vocabulary.
    """

    def __init__(self, ontology: Ontology, visibility: Visibility | None = None) -> None:
        visibility = visibility or shipped_visibility(ontology)
        if visibility is not None and visibility.ontology != ontology:
            name = visibility.ontology.name
            raise SAVError(f"the priors are of the vocabulary {name}, the parts of {ontology.name}")
        self.ontology = ontology
        self._source = None if visibility is None else visibility.source
        self._sides = Sides(ontology)
        self._expectation = Expectation(ontology, self._sides, visibility)

    def __call__(self, parts: Instances) -> PhotoReport:
        """Report on the parts of a photo.

        Args:
            parts: pred_masks (N, H, W) bool, pred_classes (N,), vehicle_ids (N,) and, where they
                are predicted, scores (N,); those to be shown, see
                :func:`sav.drawing.parts.keep_confident`. Empty masks are left out.
        """
        ids = parts.vehicle_ids.tolist()
        scores = parts.scores.tolist() if parts.has("scores") else [None] * len(parts)
        columns = parts.pred_classes.tolist(), scores, parts.pred_masks.cpu().numpy()
        members: dict[int, list[_Row]] = {}
        for row in map(_Row, range(len(parts)), *columns):
            if row.mask.any():
                members.setdefault(ids[row.place], []).append(row)
        vehicles = [self._vehicle(number, rows) for number, rows in members.items()]
        vehicles.sort(key=lambda vehicle: -vehicle.area)
        height, width = parts.image_size
        return PhotoReport(width, height, self.ontology.name, self._source, tuple(vehicles))

    def _vehicle(self, number: int, rows: Sequence[_Row]) -> VehicleReport:
        whole = np.zeros_like(rows[0].mask)
        for row in rows:  # not all at once: masks of a large photo take hundreds of megabytes
            whole |= row.mask
        area = int(np.count_nonzero(whole))
        seen = sorted((self._part(row, area) for row in rows), key=lambda part: -part.area)
        classes = [part.class_id for part in seen]
        # A doubtful part says less of the side than a sure one.
        weights = [part.area * (1 if part.score is None else part.score) for part in seen]
        side = self._sides.seen(classes, weights)
        box = mask_box(whole)
        cut = _cut_off(box, *whole.shape)
        reason = self._expectation.reason_not_to_judge(side, box)
        unseen = () if reason else self._expectation.unseen(side, classes, cut)
        return VehicleReport(number, side, box, area, cut, tuple(seen), unseen, reason)

    def _part(self, row: _Row, whole: int) -> SeenPart:
        name, area = self.ontology.class_names[row.class_id], int(np.count_nonzero(row.mask))
        box = mask_box(row.mask)
        return SeenPart(row.place, name, row.class_id, row.score, box, area, area / whole)


class _Row(NamedTuple):
    """One of the instances."""

    place: int
    class_id: int
    score: float | None
    mask: np.ndarray


def _cut_off(box: Box, height: int, width: int) -> tuple[str, ...]:
    left, top, right, bottom = box
    near = {
        "left": left < _EDGE * width,
        "top": top < _EDGE * height,
        "right": right > (1 - _EDGE) * width,
        "bottom": bottom > (1 - _EDGE) * height,
    }
    return tuple(edge for edge, is_near in near.items() if is_near)


def _plain(vehicle: VehicleReport) -> dict[str, Any]:
    side = vehicle.side
    return {
        "vehicle_id": vehicle.vehicle_id,
        "side": side.name,
        "evidence": {name: round(share, 4) for name, share in side.evidence.items()},
        "box": list(vehicle.box),
        "area": vehicle.area,
        "cut_off": list(vehicle.cut_off),
        "parts": [
            {
                **{"index": part.index, "name": part.name, "class_id": part.class_id},
                "score": None if part.score is None else round(part.score, 4),
                **{"box": list(part.box), "area": part.area, "share": round(part.share, 4)},
            }
            for part in vehicle.parts
        ],
        "unseen": [
            {
                **{"name": part.name, "class_id": part.class_id},
                **{"sides": list(part.sides), "next_to": list(part.next_to)},
                "prior": {
                    **{"share": round(part.share, 4), "low": round(part.low, 4)},
                    **{"vehicles": part.vehicles, "given": part.given},
                },
            }
            for part in vehicle.unseen
        ],
        "not_judged": vehicle.not_judged,
    }
