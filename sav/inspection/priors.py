"""How often a vehicle that is seen from a side shows each part: counts of annotated vehicles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from sav.data.mining import AnnotatedVehicle, annotated_vehicles
from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.coco import read_coco
from sav.formats.masks import area, merge_codes
from sav.inspection.sides import AZIMUTHS, Sides
from sav.ontology import Ontology, View, load_ontology
from sav.ontology.rate import Rate

_SHIPPED = Path(__file__).with_name("priors.json")
_FORMAT, _VERSION = "sav-visibility", 1
_EDGE = 0.01
"""Of the photo's size: a vehicle that comes nearer to an edge may go on beyond it."""
_BEST = 0.9
"""Quantile of the areas of a part that stands for where it is seen best."""
_SLIVER = 0.25
"""Of that area: what is less is a sliver, that nobody misses."""
_SWAP = {"left": "right", "right": "left"}


@dataclass(frozen=True, eq=False)
class Visibility:
    """Which classes annotated vehicles show plainly, by the side that they are seen from.

    A part of which no more than a sliver is seen, such as the hood from the side, does not count.

    Attributes:
        ontology: of C classes.
        source: what was counted, in a few words.
        shown: for each side the vehicles that are seen from there, (M, C) bool.
    """

    ontology: Ontology
    source: str
    shown: dict[str, np.ndarray]

    def rate(self, side: str, given: int | None = None) -> tuple[Rate, float]:
        """The share of vehicles that show each class, with its interval.

        A vehicle counts half as itself and half as its mirror image, as in :mod:`sav.ontology`'s
        priors, so that left and right are alike.

        Args:
            side: a key of AZIMUTHS.
            given: count only vehicles that show this class, too.

        Returns:
            rates, (C,) each, and the number of vehicles.
        """
        mirrored = " ".join(_SWAP.get(word, word) for word in side.split())
        own, other = self.shown[side], self.shown[mirrored][:, self.ontology.mirror_ids]
        both = np.concatenate([own, other])
        if given is not None:
            both = both[both[:, given]]
        # What has no left or right is counted twice.
        weight = 0.5 if mirrored == side else 1.0
        count = weight * len(both)
        return Rate.from_counts(weight * both.sum(0), count), count

    def of_view(self, vocabulary: Ontology) -> Visibility:
        """The same vehicles in the words of a view of the ontology.

        Raises:
            SAVError: it is a view of something else.
        """
        if vocabulary == self.ontology:
            return self
        names = self.ontology.class_names
        unions = View.of(vocabulary, self.ontology).unions
        members = [[names.index(part) for part in union.parts] for union in unions]
        shown = {
            side: np.stack([rows[:, parts].any(1) for parts in members], axis=1)
            for side, rows in self.shown.items()
        }
        return Visibility(vocabulary, self.source, shown)

    def save(self, path: Path) -> None:
        """Write a JSON file: for each vehicle the classes that it shows, as bits of a number.

        Raises:
            SAVError: it cannot be written.
        """
        lines = {}
        for side, rows in self.shown.items():
            codes = sorted(sum(1 << i for i in np.flatnonzero(row).tolist()) for row in rows)
            lines[side] = " ".join(f"{code:x}" for code in codes)
        contents = {
            **{"format": _FORMAT, "version": _VERSION, "ontology": self.ontology.name},
            **{"classes": self.ontology.class_names, "source": self.source, "shown": lines},
        }
        write_atomic(path, json.dumps(contents, indent=1) + "\n")

    @classmethod
    def mine(cls, files: Sequence[Path], ontology: Ontology, source: str = "") -> Visibility:
        """Count the vehicles of part annotation files; those at an edge of a photo are left out.

        Args:
            files: as ``sav prepare`` writes them.
            ontology: whose classes they have.
            source: what they are, in a few words; the names of the files.

        Raises:
            SAVError: a file is missing, broken or of another vocabulary, or has no vehicle whose
                side can be told.
        """
        teller, sides, shares = Sides(ontology), [], []
        for path in files:
            for vehicle in annotated_vehicles(path, read_coco(path), ontology):
                areas = coco_mask.area(vehicle.codes).astype(float)
                side = teller.seen(vehicle.classes.tolist(), areas.tolist()).name
                if side in AZIMUTHS and not _is_cut(vehicle):
                    sides.append(side)
                    whole = area(merge_codes(vehicle.codes))
                    shares.append(np.bincount(vehicle.classes, areas / whole, len(ontology)))
        source = source or ", ".join(path.name for path in files)
        if not sides:
            raise SAVError(f"{source}: no whole vehicle whose side can be told, nothing to count")
        plain = _plainly_shown(np.array(shares), ontology)
        shown = {side: plain[np.array(sides) == side] for side in AZIMUTHS}
        return cls(ontology, f"{len(sides)} vehicles in {source}", shown)


def shipped_visibility(ontology: Ontology) -> Visibility | None:
    """Counts of renderings, for `vehicle` and its views; None for other vocabularies."""
    contents = json.loads(_SHIPPED.read_text("utf-8"))
    graph = load_ontology(contents["ontology"])
    if graph.name not in (ontology.name, ontology.view_of):
        return None
    bits = np.arange(len(graph))
    shown = {
        side: np.array([(int(code, 16) >> bits) & 1 for code in codes.split()], dtype=bool).reshape(
            -1, len(graph)
        )
        for side, codes in contents["shown"].items()
    }
    return Visibility(graph, contents["source"], shown).of_view(ontology)


def _plainly_shown(shares: np.ndarray, ontology: Ontology) -> np.ndarray:
    """(M, C) bool of the shares (M, C) of vehicles' areas: more than a sliver of the part is seen.

    The measure is the part itself, where it is seen best.
    """
    usual = np.array([np.quantile(s[s > 0], _BEST) if s.any() else np.inf for s in shares.T])
    # Left and right alike.
    usual = np.minimum(usual, usual[ontology.mirror_ids])
    return shares >= np.maximum(_SLIVER * usual, np.finfo(float).tiny)


def _is_cut(vehicle: AnnotatedVehicle) -> bool:
    boxes, size = vehicle.boxes, np.array(vehicle.size[::-1])
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    return bool((low < _EDGE * size).any() or (high > (1 - _EDGE) * size).any())
