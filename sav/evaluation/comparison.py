"""Predictions of any model beside the truth, photo by photo."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from sav.errors import SAVError
from sav.evaluation.matching import Matches, Sides, match
from sav.evaluation.metrics import confusion_matrix
from sav.evaluation.photo import mask_ious
from sav.formats.annotation_format import AnnotationFormat, Entry
from sav.formats.crops import paint_labels
from sav.formats.entries import below, common_root
from sav.formats.reading import Reading, instances_of, problems_of, read_entry
from sav.formats.records import PartInstance, Problem, RecordResult, Shape

ReadShapes = Callable[[Entry, int, int], Iterable[Shape]]
"""See :class:`sav.formats.annotation_format.AnnotationFormat`."""


class PhotoCounts(NamedTuple):
    """What one photo adds to the figures of a model.

    Attributes:
        segm: its matches by the IoU of masks.
        confusion: (C + 1, C + 1) int64 pixels, truth in rows, background first.
    """

    segm: Matches
    confusion: np.ndarray


def photo_key(name: str) -> str:
    """The path of a photo without its suffix, which predictions need not share."""
    path = PurePosixPath(name)
    return (path.parent / path.stem).as_posix()


class TruePhoto(NamedTuple):
    """The annotated parts of a photo.

    Attributes:
        size: its height, width in pixels.
        parts: what is annotated.
    """

    size: tuple[int, int]
    parts: Sequence[PartInstance]


@dataclass(frozen=True)
class Truth:
    """Annotated photos.

    Attributes:
        photos: by their :func:`photo_key` in the folder of them all.
        problems: what could not be read.
    """

    photos: Mapping[str, TruePhoto]
    problems: Sequence[Problem]

    @classmethod
    def read(cls, form: AnnotationFormat, entries: Sequence[Entry], reading: Reading) -> Truth:
        """Read all photos.

        Raises:
            SAVError: two differ in their suffix alone, or none can be read.
        """
        photos: dict[str, TruePhoto] = {}
        problems: list[Problem] = []
        entries = below(common_root(entries), entries)
        for entry in tqdm(entries, desc="truth", unit="img", disable=None):
            result = read_entry(form, reading, entry)
            problems += result.problems
            if result.image is None:
                continue
            key = photo_key(entry.name)
            if key in photos:
                raise SAVError(f"{entry.source}: two photos are called {key}; rename one of them")
            size = result.image["height"], result.image["width"]
            photos[key] = TruePhoto(size, result.instances)
        if not photos:
            first = f": {problems[0]}" if problems else ""
            raise SAVError(f"no photo of the truth can be read{first}")
        return cls(photos, problems)


class Found:
    """What a model found.

    Args:
        read: of the format.
        entries: of its photos, which need not be there.
        reading: how.
        truth: the photos that they are compared with.

    Attributes:
        unmatched: names of photos that are none of the truth, or it is not clear which one.
        problems: what could not be read so far.

    Raises:
        SAVError: two photos are the same one of the truth.
    """

    def __init__(
        self, read: ReadShapes, entries: Sequence[Entry], reading: Reading, truth: Truth
    ) -> None:
        self._read, self._reading = read, reading
        # What is said of photos without predictions is nothing to be listed: they are counted.
        entries = [entry for entry in entries if entry.content is not None]
        self.unmatched: list[str] = []
        self.problems: list[Problem] = []
        self._entries: dict[str, Entry] = {}
        keys = match_names([photo_key(entry.name) for entry in entries], truth.photos)
        for key, entry in zip(keys, entries, strict=True):
            if key is None:
                self.unmatched.append(entry.name)
            elif key in self._entries:
                both = f"{self._entries[key].name} and {entry.name}"
                raise SAVError(f"{entry.source}: {both} are both the photo {key} of the truth")
            else:
                self._entries[key] = entry

    def parts(self, key: str, size: tuple[int, int]) -> Sequence[PartInstance]:
        """Those of a photo of a height and width; none where the model says nothing of it."""
        if key not in self._entries:
            return ()
        entry, result = self._entries[key], RecordResult()
        with problems_of(entry.source, entry.name, result):
            shapes = list(self._read(entry, *size))
            result.instances = instances_of(shapes, size, self._reading, entry.source, result)
        self.problems += result.problems
        return result.instances

    @property
    def photos(self) -> Collection[str]:
        """Those of the truth that there are predictions for."""
        return self._entries.keys()

    def summary(self, truth: Truth) -> str:
        """Of how many photos there are predictions, in words."""
        found = f"predictions for {len(self._entries)} of {len(truth.photos)} photos"
        if not self.unmatched:
            return found
        others = f"{len(self.unmatched)} that the truth does not have, such as {self.unmatched[0]}"
        return f"{found}, and for {others}"


def match_names(names: Sequence[str], photos: Collection[str]) -> list[str | None]:
    """Which photo each name means.

    A file's name is enough where no other has it. Else the whole path decides, as far as both sides
    have one.

    Args:
        names: of predictions, without suffix.
        photos: of the truth, likewise.

    Returns:
        for each name a photo; None: there is none, or it is not clear which one.
    """
    called: dict[str, list[str]] = defaultdict(list)
    for photo in photos:
        called[PurePosixPath(photo).name].append(photo)
    often = Counter(PurePosixPath(name).name for name in names)
    matched = []
    for name in names:
        own = PurePosixPath(name).name
        alone = len(called[own]) == often[own] == 1
        matched.append(called[own][0] if alone else _same_path(name, called[own]))
    return matched


def _same_path(name: str, photos: Sequence[str]) -> str | None:
    """The photo whose path ends the name, the longest of several; else the one that it ends."""
    ends = [photo for photo in photos if f"/{name}".endswith(f"/{photo}")]
    if ends:
        return max(ends, key=len)
    longer = [photo for photo in photos if photo.endswith(f"/{name}")]
    return longer[0] if len(longer) == 1 else None


def counts_of(
    truth: Truth, found: Found, class_names: Sequence[str], shown: float
) -> list[PhotoCounts]:
    """Compare a model's predictions with the truth, in the order of its photos.

    Args:
        truth: all its photos count; those without a prediction as if nothing was found.
        found: predictions.
        class_names: C names.
        shown: see :func:`count_photo`.
    """
    photos = tqdm(truth.photos.items(), desc="compare", unit="img", disable=None)
    return [
        count_photo(photo.parts, found.parts(key, photo.size), photo.size, class_names, shown)
        for key, photo in photos
    ]


def count_photo(
    truth: Sequence[PartInstance],
    found: Sequence[PartInstance],
    size: tuple[int, int],
    class_names: Sequence[str],
    shown: float,
) -> PhotoCounts:
    """Compare the parts that a model found in a photo with the annotated ones.

    Args:
        truth: annotated parts.
        found: parts with scores; one without counts as certain.
        size: height, width of the photo in pixels.
        class_names: C names.
        shown: parts that score at least this are painted into the label map, larger ones first.

    Returns:
        the counts.
    """
    number = {name: i for i, name in enumerate(class_names)}
    scores = np.array([1.0 if part.score is None else part.score for part in found])
    sides = Sides(
        np.array([number[part.label] for part in found], dtype=np.int64),
        scores.astype(np.float64),
        np.array([part.area for part in found], dtype=np.float64),
        np.array([number[part.label] for part in truth], dtype=np.int64),
        np.array([part.area for part in truth], dtype=np.float64),
        np.zeros(len(truth), dtype=bool),
    )
    iou = mask_ious([p.code for p in found], [p.code for p in truth], sides.crowd)
    kept = [part for part, score in zip(found, scores, strict=True) if score >= shown]
    maps = [_label_map(parts, number, size) for parts in (truth, kept)]
    confusion = confusion_matrix(maps[0], maps[1], len(class_names))
    return PhotoCounts(match(iou, sides, len(class_names)), confusion)


def _label_map(
    parts: Sequence[PartInstance], number: Mapping[str, int], size: tuple[int, int]
) -> np.ndarray:
    order = sorted(parts, key=lambda part: -part.area)
    labels = [number[part.label] + 1 for part in order]
    return paint_labels([part.code for part in order], labels, *size)
