"""Geometric priors: what annotations say about parts of one vehicle, two classes at a time.

The frame of a vehicle is the box around all its parts: x to the right and y down in the photo, both
0 to 1. Every vehicle counts half as itself and half as its mirror image (left and right classes
swapped, x turned round). So the priors of (left door, left window) and of (right door, right
window) are the same, with opposite x, and no count exceeds the number of vehicles.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from sav.errors import SAVError
from sav.files import write_atomic
from sav.ontology.ontology import Ontology
from sav.ontology.rate import Rate

VERSION = 2
_FORMAT = "sav-priors"


@dataclass(frozen=True, eq=False)
class Priors:
    """Counts and sums over annotated vehicles, and the shares, means and spreads they give.

    Arrays are float64. Those of pairs of the C classes are indexed [a, b] and speak of b, given a.

    Attributes:
        ontology: name of the vocabulary.
        class_names: its classes in id order.
        sources: names of the annotation files.
        vehicles: number of vehicles.
        seen: (C,) vehicles that show the class.
        together: (C, C) vehicles that show both; on the diagonal two or more instances.
        touching: (C, C) those of them in which two masks touch or nearly do.
        containment_sum: (C, C) sum over those vehicles of the share of b's box that lies within a's
            box; where a has several instances, within the one that holds most of it.
        pairs: (C, C) pairs of instances within a vehicle.
        offset_sum: (C, C, 2) sum over the pairs of b's box centre minus a's, x and y, in the
            vehicle's frame.
        offset_squares: (C, C, 2) sum of the squares of these.
        log_scale_sum: (C, C) sum over the pairs of the log of the ratio of b's size to a's, the
            size of a box being the root of its area.
        log_scale_squares: (C, C) sum of the squares of these.
    """

    ontology: str
    class_names: tuple[str, ...]
    sources: tuple[str, ...]
    vehicles: int
    seen: np.ndarray
    together: np.ndarray
    touching: np.ndarray
    containment_sum: np.ndarray
    pairs: np.ndarray
    offset_sum: np.ndarray
    offset_squares: np.ndarray
    log_scale_sum: np.ndarray
    log_scale_squares: np.ndarray

    @property
    def frequency(self) -> Rate:
        """(C,) share of vehicles that show the class."""
        return Rate.from_counts(self.seen, self.vehicles)

    @property
    def co_visibility(self) -> Rate:
        """(C, C) P(b is visible | a is visible); on the diagonal P(another one | one)."""
        return Rate.from_counts(self.together, self.seen[:, None])

    @property
    def adjacency(self) -> Rate:
        """(C, C) P(masks touch | both are visible)."""
        return Rate.from_counts(self.touching, self.together)

    @property
    def containment(self) -> Rate:
        """(C, C) mean share of b's box in a's, with the interval that so many vehicles allow."""
        return Rate.from_counts(self.containment_sum, self.together)

    @property
    def offset(self) -> np.ndarray:
        """(C, C, 2) mean of b's box centre minus a's."""
        return _mean(self.offset_sum, self.pairs[..., None])

    @property
    def spread(self) -> np.ndarray:
        """(C, C, 2) standard deviation of the offset over the pairs."""
        return _deviation(self.offset_sum, self.offset_squares, self.pairs[..., None])

    @property
    def log_scale(self) -> np.ndarray:
        """(C, C) mean log of the ratio of b's size to a's."""
        return _mean(self.log_scale_sum, self.pairs)

    @property
    def log_scale_spread(self) -> np.ndarray:
        """(C, C) standard deviation of it over the pairs."""
        return _deviation(self.log_scale_sum, self.log_scale_squares, self.pairs)

    def save(self, path: str | Path) -> None:
        """Write a JSON file: all or nothing, one line a class and one an ordered pair.

        Raises:
            SAVError: it cannot be written.
        """
        blocks = []
        for key, value in self._contents().items():
            text = json.dumps(value)
            if key in ("classes", "pairs"):
                text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
            blocks.append(f' "{key}": {text}')
        write_atomic(path, "{\n" + ",\n".join(blocks) + "\n}\n")

    @classmethod
    def load(cls, path: str | Path, ontology: Ontology) -> Priors:
        """Read what :meth:`save` has written.

        Args:
            path: a JSON file.
            ontology: the vocabulary that the priors are wanted for.

        Raises:
            SAVError: no such file, not priors, of another version or vocabulary, with counts that
                no vehicles can have, or not symmetric under mirroring.
        """
        contents = _read(Path(path))
        try:
            names = [row["class"] for row in contents["classes"]]
            if names != ontology.class_names:
                raise SAVError(
                    f"{path}: priors of the vocabulary '{contents['ontology']}', not of "
                    f"'{ontology.name}'; mine annotations of that vocabulary"
                )
            priors = cls._from_contents(contents)
            if priors._contents() != contents:
                raise ValueError("unknown, missing or misplaced entries")
            if not priors._is_possible():
                raise SAVError(f"{path}: its counts contradict one another; mine it again")
        except (KeyError, TypeError, ValueError) as error:
            raise SAVError(f"{path}: broken priors ({error!r}); mine them again") from error
        if not priors.is_symmetric(ontology.mirror_ids):
            raise SAVError(f"{path}: left and right differ in it; mine it again")
        return priors

    def is_symmetric(self, mirror_ids: list[int]) -> bool:
        """Whether the mirror image of every pair has the same priors, with opposite x."""
        m = np.array(mirror_ids)
        turned = {"offset_sum": (-1, 1)}
        return np.array_equal(self.seen, self.seen[m]) and all(
            np.allclose(getattr(self, key), getattr(self, key)[m][:, m] * turned.get(key, 1))
            for key in _TABLES
        )

    def _is_possible(self) -> bool:
        pairs = self.pairs[..., None]
        ordered = (
            (0, self.seen, self.vehicles),
            (0, self.touching, self.together),
            (0, self.containment_sum, self.together),
            (0, self.together, np.minimum(self.seen, self.seen[:, None])),
            (0, self.together, self.pairs),
            (-pairs, self.offset_sum, pairs),
            (0, self.offset_squares, pairs),
            (0, self.log_scale_squares, np.inf),
        )
        return all(((low <= x) & (x <= high)).all() for low, x, high in ordered)

    def _contents(self) -> dict[str, Any]:
        names, seen = self.class_names, self.seen.tolist()
        tables = {key: getattr(self, key).tolist() for key in _TABLES}
        return {
            "format": _FORMAT,
            "version": VERSION,
            "ontology": self.ontology,
            "sources": list(self.sources),
            "vehicles": self.vehicles,
            "classes": [{"class": name, "seen": seen[a]} for a, name in enumerate(names)],
            "pairs": [
                {"a": first, "b": second, **{key: table[a][b] for key, table in tables.items()}}
                for a, first in enumerate(names)
                for b, second in enumerate(names)
            ],
        }

    @classmethod
    def _from_contents(cls, contents: dict[str, Any]) -> Priors:
        classes, pairs = contents["classes"], contents["pairs"]
        size = len(classes)
        tables = {key: np.array([row[key] for row in pairs], dtype=np.float64) for key in _TABLES}
        return cls(
            ontology=contents["ontology"],
            class_names=tuple(row["class"] for row in classes),
            sources=tuple(contents["sources"]),
            vehicles=contents["vehicles"],
            seen=np.array([row["seen"] for row in classes], dtype=np.float64),
            **{key: table.reshape(size, size, *table.shape[1:]) for key, table in tables.items()},
        )


# The fields after "seen" have an entry for each ordered pair of classes.
_TABLES = [field.name for field in fields(Priors)][5:]


def _mean(total: np.ndarray, number: np.ndarray) -> np.ndarray:
    return total / np.maximum(number, 1e-9)


def _deviation(total: np.ndarray, squares: np.ndarray, number: np.ndarray) -> np.ndarray:
    variance = _mean(squares, number) - _mean(total, number) ** 2
    return np.sqrt(np.maximum(variance, 0))  # rounding can take it below 0


def _read(path: Path) -> dict[str, Any]:
    try:
        contents = json.loads(path.read_bytes())
    except OSError as error:
        raise SAVError(f"{path}: no priors there ({error.strerror})") from error
    except ValueError as error:
        raise SAVError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(contents, dict) or contents.get("format") != _FORMAT:
        raise SAVError(f"{path}: not priors; make them with 'sav graph mine'")
    version = contents.get("version")
    if version != VERSION:
        raise SAVError(f"{path}: priors of version {version}, not {VERSION}; mine them again")
    return contents
