"""What a converter makes of one image."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sav.formats.masks import encode_mask, mask_box


@dataclass(frozen=True)
class Problem:
    """A record that could not be used.

    Attributes:
        file: path, relative to the data set's root where possible.
        record: which part of the file, for example "shape 3 (Wheel)"; "" for the whole of it.
        reason: what is wrong with it.
    """

    file: str
    record: str
    reason: str

    def __str__(self) -> str:
        """One line, as errors show it."""
        return ": ".join(part for part in (self.file, self.record, self.reason) if part)


@dataclass(frozen=True)
class PartInstance:
    """One part of one vehicle in one image.

    Attributes:
        class_id: 0-based id in the ontology.
        mask: (H, W) bool or uint8, not empty.
        vehicle_id: which vehicle of the image it belongs to, from 0; None: not known yet.
    """

    class_id: int
    mask: np.ndarray
    vehicle_id: int | None

    def to_annotation(self) -> dict[str, object]:
        """As a COCO annotation, without "id" and "image_id"."""
        x0, y0, x1, y1 = mask_box(self.mask)
        return {
            "category_id": self.class_id + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": int(np.count_nonzero(self.mask)),
            "iscrowd": 0,
            "segmentation": encode_mask(self.mask),
            "vehicle_id": self.vehicle_id,
        }


@dataclass
class RecordResult:
    """What came of one image.

    Attributes:
        image: {"file_name", "width", "height"}, or None when the image is left out.
        annotations: COCO annotations without ids.
        notes: how often something harmless was seen, such as a clipped polygon.
        problems: what was left out and why.
    """

    image: dict[str, object] | None = None
    annotations: list[dict[str, object]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def skip(self, file: Path, reason: object, record: str = "") -> RecordResult:
        """Add a problem; see :class:`Problem`. Returns the result itself."""
        self.problems.append(Problem(file.as_posix(), record, str(reason)))
        return self
