"""All checks on all photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from sav.check.copies import check_copies
from sav.check.finding import Finding, rank
from sav.check.layout import FEWEST, Layout
from sav.check.opinion import Comparison, Opinion
from sav.check.overlaps import check_overlaps, may_overlap, split_habits
from sav.check.photos import CheckedData, Photo
from sav.check.places import check_places
from sav.check.presence import Presence, crowded
from sav.check.shapes import check_shapes
from sav.errors import SAVError
from sav.formats.images import read_image_size, read_rgb
from sav.formats.masks import decode_codes
from sav.gallery.photos import photo_hash
from sav.ontology.mining import PriorMiner, to_grid
from sav.ontology.priors import Priors

if TYPE_CHECKING:
    from sav.d2 import Instances


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        data: that was checked.
        findings: the highest rank first.
        notes: lines on the data as a whole.
    """

    data: CheckedData
    findings: list[Finding]
    notes: list[str]


def check_data(
    data: CheckedData,
    predict: Callable[[np.ndarray], Instances] | None = None,
    least: float = 0.0,
) -> Report:
    """Check photos by themselves, by the priors of all of them, and by a model.

    Args:
        data: what to check.
        predict: a predictor that answers in the data's vocabulary; None does without a model.
        least: findings of a lower rank are left out.
    """
    check = _Check(data, predict)
    findings = list(check.findings())
    if check.compares_files:
        findings += check_copies(data.photos, check.hashes)
    return Report(data, rank(findings, least), check.notes)


class _Check:
    def __init__(
        self, data: CheckedData, predict: Callable[[np.ndarray], Instances] | None
    ) -> None:
        self.data, self.predict = data, predict
        self.notes = crowded(data.photos, data.ontology)
        self.hashes: list[int | None] = []
        self.compares_files = len({photo.data for photo in data.photos}) > 1
        self._allowed = may_overlap(data.ontology)

    def findings(self) -> Iterator[Finding]:
        priors = mine_photos(self.data)
        if priors is None or priors.vehicles < FEWEST:
            few = 0 if priors is None else priors.vehicles
            self.notes.append(f"{few} vehicles are too few for priors: layouts are not checked")
        overlaps: list[Finding] = []
        by_priors = []
        if priors is not None:
            by_priors = [
                Layout(self.data.ontology, priors),
                Presence(self.data.ontology, priors, self.data.photos),
            ]
        for photo in tqdm(self.data.photos, desc="Checks", unit="img", disable=None):
            overlaps += check_overlaps(photo, self.data.ontology, self._allowed)
            yield from check_shapes(photo, self.data.ontology)
            yield from check_places(photo, self.data.ontology)
            suspected = [one for check in by_priors for one in check.check(photo)]
            yield from self._look(photo, suspected)
        if priors is not None:
            double = [finding for finding in overlaps if finding.kind == "overlap"]
            slips, habits = split_habits(double, self.data.ontology, priors.together)
            self.notes += habits
            yield from slips
        yield from (finding for finding in overlaps if finding.kind != "overlap")

    def _look(self, photo: Photo, suspected: list[Finding]) -> Iterator[Finding]:
        """Open the photo: what it shows, and what the model says of it and of suspicions."""
        self.hashes.append(None)
        if photo.problems:
            yield Finding("broken", 1.0, photo, "; ".join(photo.problems))
        try:
            image = self._read(photo)
        except SAVError as error:
            yield Finding("broken", 1.0, photo, str(error))
            image = None
        if image is not None and self.compares_files:
            self.hashes[-1] = photo_hash(image)
        if image is None or self.predict is None:
            yield from suspected
            return
        comparison = Comparison(photo, Opinion.of(self.predict(image)), self.data.ontology)
        yield from map(comparison.temper, suspected)
        yield from comparison.findings()

    def _read(self, photo: Photo) -> np.ndarray | None:
        """The pixels, where anything looks at them.

        Raises:
            SAVError: there is no such photo, it is broken, or it has another size.
        """
        needed = self.compares_files or self.predict is not None
        image = read_rgb(photo.path) if needed else None
        size = read_image_size(photo.path) if image is None else image.shape[1::-1]
        if size != photo.size[::-1]:
            stated = f"{photo.size[1]}x{photo.size[0]}"
            raise SAVError(f"the image is {size[0]}x{size[1]}, its annotations are for {stated}")
        return image


def mine_photos(data: CheckedData) -> Priors | None:
    """The priors of the vehicles that are checked; None without any."""
    miner = PriorMiner(data.ontology)
    for photo in tqdm(data.photos, desc="Priors", unit="img", disable=None):
        for parts in photo.vehicles():
            boxes = np.array([part.box for part in parts], dtype=float)
            frame = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
            # One at a time: all masks of a large photo would take hundreds of megabytes.
            grids = [to_grid(decode_codes([part.code], *photo.size)[0], frame) for part in parts]
            miner.add(np.array([part.class_id for part in parts]), boxes, np.stack(grids))
    return miner.finish(sorted({photo.data for photo in data.photos})) if miner.vehicles else None
