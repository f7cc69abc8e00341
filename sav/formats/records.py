"""What a data set says of one photo, and what a converter makes of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from sav.errors import SAVError
from sav.formats.masks import Code, area, decode_codes, encode_mask

_WHOLE = re.compile("-?[0-9]{1,15}")
_LONGEST = 400
"""Characters of a problem's fields; a file may have a name, or a number, of any length."""


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
class Shape:
    """One outline or mask as a file has it; nothing of it has been checked.

    Attributes:
        where: names it in a problem, for example "shape 3".
        label: the name of its part, as the file writes it, or
            :class:`sav.formats.labels.Unnamed`.
        segmentation: polygons or a run-length code as COCO has them, see
            :func:`sav.formats.masks.run_length_code`, or a mask (H, W) of the photo's size.
        holes: polygons that are taken away from it.
        instance: shapes of one label with the same one are pieces of one instance; None: the
            shape is an instance.
        vehicle: which vehicle of the photo it belongs to, a whole number from 0; None: not said.
        group: a number that the tool gives to shapes that belong together; users decide what that
            means, see :class:`sav.formats.reading.Reading`.
        score: of a prediction, 0 to 1; None for an annotation.
        crowd: whether it is marked as a group of instances, which tools do to any mask, too.
        component: it is a connected component of a label map, which does not tell instances apart;
            its class says whether it is one, see :attr:`sav.formats.reading.Reading.joined`.
        error: what is wrong with it, where the reader knows; "" for nothing.
    """

    where: str
    label: Any
    segmentation: Any = None
    holes: Any = ()
    instance: Hashable = None
    vehicle: Any = None
    group: Any = None
    score: Any = None
    crowd: bool = False
    component: bool = False
    error: str = ""


@dataclass(frozen=True)
class PartInstance:
    """One part of one vehicle in one photo.

    Attributes:
        label: name of its class.
        code: its mask as a compressed run-length code of the photo's size, not empty.
        vehicle_id: which vehicle of the photo it belongs to, from 0; None: not known.
        score: of a prediction, 0 to 1; None for an annotation.
    """

    label: str
    code: Code
    vehicle_id: int | None = None
    score: float | None = None

    @classmethod
    def of_mask(cls, label: str, mask: np.ndarray, vehicle_id: int | None = None) -> PartInstance:
        """From a mask (H, W) of bool or uint8."""
        return cls(label, encode_mask(mask), vehicle_id)

    @cached_property
    def mask(self) -> np.ndarray:
        """(H, W) bool."""
        return decode_codes([self.code], *self.code["size"])[0].view(bool)

    @property
    def area(self) -> int:
        """In pixels."""
        return area(self.code)

    def to_annotation(self, category_id: int) -> dict[str, Any]:
        """As a COCO annotation, without "id" and "image_id"."""
        counts = self.code["counts"]
        text = counts if isinstance(counts, str) else counts.decode("ascii")
        return {
            "category_id": category_id,
            "bbox": [int(side) for side in coco_mask.toBbox(self.code)],
            "area": self.area,
            "iscrowd": 0,
            "segmentation": {"size": [int(side) for side in self.code["size"]], "counts": text},
            "vehicle_id": self.vehicle_id,
        }


@dataclass
class RecordResult:
    """What came of one photo.

    Attributes:
        image: {"file_name", "width", "height"}, or None when the photo is left out.
        instances: its parts.
        notes: how often something harmless was seen, such as a renamed label.
        problems: what was left out and why.
    """

    image: dict[str, Any] | None = None
    instances: list[PartInstance] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def skip(self, file: Path | str, reason: object, record: str = "") -> RecordResult:
        """Add a problem; see :class:`Problem`. Returns the result itself."""
        name = file.as_posix() if isinstance(file, Path) else file
        self.problems.append(Problem(*map(one_line, (name, record, str(reason)))))
        return self


def reason_of(error: Exception) -> str:
    """What a problem says of an exception."""
    if isinstance(error, SAVError):
        return str(error)
    return f"cannot be read: {type(error).__name__}: {error}"


def whole(value: Any) -> Any:
    """A whole number of what tables and forms write as a decimal or a text; else the value."""
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    return value


def check_size(stated: Sequence[Any], width: int, height: int, verb: str = "drawn") -> None:
    """Refuse what was made for a photo of another size.

    Args:
        stated: width and height as the file has them, also as texts; None: not said.
        width: of the photo, in pixels.
        height: of the photo, in pixels.
        verb: what errors say was done.

    Raises:
        SAVError: a side differs.
    """
    sides = zip(stated, (width, height), strict=True)
    if any(said is not None and whole(said) != side for said, side in sides):
        said = "x".join(map(str, stated))
        raise SAVError(f"it was {verb} on {said} pixels, but the image is {width}x{height}")


def one_line(text: str) -> str:
    """What every terminal and file takes: no line breaks, control characters or halves of pairs.

    Args:
        text: of any length; of a long one the middle is left out.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
