"""Geometric priors: what annotations say about parts of one vehicle, two classes at a time.

The frame of a vehicle is the box around all its parts: x to the right and y down in the photo, both
0 to 1. Every vehicle counts half as itself and half as its mirror image (left and right classes
swapped, x turned round), so the priors of (left door, left window) and of (right door, right
window) are one, with opposite x, and no count exceeds the number of vehicles.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import betaincinv

from sav.errors import SAVError
from sav.files import atomic_path
from sav.ontology.ontology import Ontology

VERSION = 1
_FORMAT = "sav-priors"
_DIGITS = 6
_ROUNDING = 1e-5
_QUANTILE = 0.975  # of 95% intervals
_NORMAL = 1.96


@dataclass(frozen=True)
class Rate:
    """A share with its 95% interval; all arrays have the shape of the counts.

    Attributes:
        share: successes / trials, 0 without trials.
        low: lower end of the interval.
        high: upper end.
        confidence: 1 - (high - low): near 0 without observations, near 1 with thousands.
    """

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def confidence(self) -> np.ndarray:
        """One minus the width of the interval."""
        return 1 - (self.high - self.low)

    @classmethod
    def from_counts(cls, successes: np.ndarray, trials: np.ndarray) -> Rate:
        """The interval of a Beta posterior under Jeffreys' prior Beta(1/2, 1/2).

        It keeps its coverage where counts are small and takes half counts (Brown, Cai, DasGupta,
        Interval Estimation for a Binomial Proportion, Statistical Science 2001, section 4.1.2,
        with its rule for the ends: no success puts the lower end at 0, only successes put the
        upper end at 1).

        Args:
            successes: any shape, 0 to trials, not necessarily whole.
            trials: the same shape.
        """
        alpha, beta = successes + 0.5, trials - successes + 0.5
        low = np.where(successes > 0, betaincinv(alpha, beta, 1 - _QUANTILE), 0.0)
        high = np.where(successes < trials, betaincinv(alpha, beta, _QUANTILE), 1.0)
        return cls(successes / np.maximum(trials, 1e-9), low, np.where(trials > 0, high, 1.0))


@dataclass(frozen=True, eq=False)
class Priors:
    """Priors of C classes. Arrays of pairs are indexed [a, b] and speak of b, given a.

    Attributes:
        ontology: name of the vocabulary.
        class_names: its classes in id order.
        sources: names of the annotation files.
        vehicles: number of vehicles.
        seen: (C,) vehicles that show the class.
        together: (C, C) vehicles that show both; on the diagonal two or more instances.
        touching: (C, C) those of them in which two masks touch or nearly do.
        containment: (C, C) mean share of b's box that lies within a's box; where a has several
            instances, within the one that holds most of it.
        pairs: (C, C) pairs of instances within a vehicle.
        offset: (C, C, 2) mean of b's box centre minus a's, in the vehicle's frame.
        spread: (C, C, 2) standard deviation of it over the pairs.
        log_scale: (C, C) mean log of the ratio of b's size to a's, the size of a box being the
            root of its area.
        log_scale_spread: (C, C) standard deviation of it.
    """

    ontology: str
    class_names: tuple[str, ...]
    sources: tuple[str, ...]
    vehicles: int
    seen: np.ndarray
    together: np.ndarray
    touching: np.ndarray
    containment: np.ndarray
    pairs: np.ndarray
    offset: np.ndarray
    spread: np.ndarray
    log_scale: np.ndarray
    log_scale_spread: np.ndarray

    @property
    def frequency(self) -> Rate:
        """(C,) share of vehicles that show the class."""
        return Rate.from_counts(self.seen, np.full_like(self.seen, self.vehicles))

    @property
    def co_visibility(self) -> Rate:
        """(C, C) P(b is visible | a is visible); on the diagonal P(another one | one)."""
        return Rate.from_counts(self.together, np.broadcast_to(self.seen[:, None], self._shape))

    @property
    def adjacency(self) -> Rate:
        """(C, C) P(masks touch | both are visible)."""
        return Rate.from_counts(self.touching, self.together)

    @property
    def contained(self) -> Rate:
        """(C, C) containment, with the interval that so many vehicles allow."""
        return Rate.from_counts(self.containment * self.together, self.together)

    @property
    def geometry_confidence(self) -> np.ndarray:
        """(C, C) 1 - half width of the mean's 95% interval, in units of the spread; at least 0."""
        return np.maximum(0, 1 - _NORMAL / np.sqrt(np.maximum(self.pairs, 1e-9)))

    @property
    def _shape(self) -> tuple[int, int]:
        return len(self.class_names), len(self.class_names)

    def save(self, path: str | Path) -> None:
        """Write a JSON file: all or nothing, one line a class and one an ordered pair.

        Raises:
            SAVError: it cannot be written.
        """
        contents = self._contents()
        blocks = []
        for key, value in contents.items():
            if key in ("frequency", "pairs"):
                rows = ",\n  ".join(json.dumps(row) for row in value)
                blocks.append(f' "{key}": [\n  {rows}\n ]')
            else:
                blocks.append(f" {json.dumps(key)}: {json.dumps(value)}")
        with atomic_path(path) as temporary:
            temporary.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, ontology: Ontology) -> Priors:
        """Read what :meth:`save` has written.

        Args:
            path: a JSON file.
            ontology: the vocabulary that the priors are wanted for.

        Raises:
            SAVError: no such file, not priors, of another version or vocabulary, not symmetric
                under mirroring, or with numbers that do not follow from their counts.
        """
        contents = _read(Path(path))
        if contents.get("format") != _FORMAT or contents.get("version") != VERSION:
            raise SAVError(
                f"{path}: not priors of version {VERSION}; make them with 'sav graph mine'"
            )
        if contents.get("classes") != ontology.class_names:
            raise SAVError(
                f"{path}: priors of the vocabulary '{contents.get('ontology')}', but "
                f"'{ontology.name}' is asked for; mine annotations of that vocabulary"
            )
        try:
            priors = cls._from_contents(contents)
            agrees = _agree(priors._contents(), contents)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise SAVError(f"{path}: broken priors ({error!r}); mine them again") from error
        if not agrees:
            raise SAVError(f"{path}: its numbers do not follow from its counts; mine it again")
        if not priors.is_symmetric(ontology.mirror_ids):
            raise SAVError(f"{path}: left and right differ in it; mine it again")
        return priors

    def is_symmetric(self, mirror_ids: list[int]) -> bool:
        """Whether the mirror image of every pair has the same priors, with opposite x."""
        m = np.array(mirror_ids)
        turned = self.offset[m][:, m] * (-1, 1)
        plain = (self.together, self.touching, self.containment, self.pairs, self.log_scale)
        spreads = (self.spread, self.log_scale_spread)
        return (
            np.array_equal(self.seen, self.seen[m])
            and np.allclose(self.offset, turned)
            and all(np.allclose(array, array[m][:, m]) for array in (*plain, *spreads))
        )

    def _contents(self) -> dict[str, Any]:
        names = self.class_names
        frequency, visible = _rows(self.frequency), _rows(self.co_visibility)
        adjacent, contained = _rows(self.adjacency), _rows(self.contained)
        confidence = np.round(self.geometry_confidence, _DIGITS).tolist()
        return {
            "format": _FORMAT,
            "version": VERSION,
            "ontology": self.ontology,
            "sources": list(self.sources),
            "classes": list(names),
            "vehicles": self.vehicles,
            "frequency": [
                {"class": name, "count": float(self.seen[i]), **frequency[i]}
                for i, name in enumerate(names)
            ],
            "pairs": [
                {
                    "a": names[a],
                    "b": names[b],
                    "visible": {"count": float(self.together[a, b]), **visible[a][b]},
                    "adjacent": {"count": float(self.touching[a, b]), **adjacent[a][b]},
                    "contained": contained[a][b],
                    "geometry": {
                        "count": float(self.pairs[a, b]),
                        "offset": self.offset[a, b].tolist(),
                        "spread": self.spread[a, b].tolist(),
                        "log_scale": float(self.log_scale[a, b]),
                        "log_scale_spread": float(self.log_scale_spread[a, b]),
                        "confidence": confidence[a][b],
                    },
                }
                for a, b in np.ndindex(self._shape)
            ],
        }

    @classmethod
    def _from_contents(cls, contents: dict[str, Any]) -> Priors:
        classes = contents["classes"]
        shape = len(classes), len(classes)

        def table(block: str, key: str, *tail: int) -> np.ndarray:
            values = [pair[block][key] for pair in contents["pairs"]]
            return np.array(values, dtype=np.float64).reshape(*shape, *tail)

        return cls(
            ontology=contents["ontology"],
            class_names=tuple(classes),
            sources=tuple(contents["sources"]),
            vehicles=contents["vehicles"],
            seen=np.array([row["count"] for row in contents["frequency"]], dtype=np.float64),
            together=table("visible", "count"),
            touching=table("adjacent", "count"),
            containment=table("contained", "share"),
            pairs=table("geometry", "count"),
            offset=table("geometry", "offset", 2),
            spread=table("geometry", "spread", 2),
            log_scale=table("geometry", "log_scale"),
            log_scale_spread=table("geometry", "log_scale_spread"),
        )


def _rows(rate: Rate) -> list[Any]:
    """A rate as nested lists of {"share", "low", "high", "confidence"}, rounded."""
    columns = {
        name: np.round(getattr(rate, name), _DIGITS)
        for name in ("share", "low", "high", "confidence")
    }
    flat = [
        dict(zip(columns, map(float, row), strict=True))
        for row in zip(*(column.flat for column in columns.values()), strict=True)
    ]
    if rate.share.ndim == 1:
        return flat
    size = rate.share.shape[1]
    return [flat[start : start + size] for start in range(0, len(flat), size)]


def _agree(expected: Any, found: Any) -> bool:
    """Whether two JSON values are the same up to rounding, which differs between machines."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and expected.keys() == found.keys()
            and all(_agree(value, found[key]) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(expected) == len(found)
            and all(map(_agree, expected, found))
        )
    if isinstance(expected, float):
        return isinstance(found, int | float) and abs(expected - found) <= _ROUNDING
    return expected == found


def _read(path: Path) -> dict[str, Any]:
    try:
        contents = json.loads(path.read_bytes())
    except OSError as error:
        raise SAVError(f"{path}: no priors there ({error.strerror})") from error
    except ValueError as error:
        raise SAVError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(contents, dict):
        raise SAVError(f"{path}: not priors; make them with 'sav graph mine'")
    return contents
