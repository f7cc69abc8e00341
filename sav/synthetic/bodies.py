"""Parametric vehicle shapes: an outline seen from the side, and how wide it is where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

BODY_TYPES: tuple[str, ...] = ("sedan", "hatchback", "suv", "van", "pickup", "bus", "truck")
_TYPE_SHARES = dict(zip(BODY_TYPES, (0.22, 0.18, 0.2, 0.14, 0.12, 0.07, 0.07), strict=True))
_BODY_FILE = Path(__file__).with_name("bodies.yaml")

# How far the outline at the vehicle's edge lies behind (dx) and below (dz) that at its middle:
# this is what curves bumpers, windshield, hood and roof.
_EDGE_SHIFT: dict[str, tuple[float, float]] = {
    "lip": (-0.14, 0.0),
    "bumper": (-0.26, 0.0),
    "nose": (-0.26, 0.0),
    "hood_edge": (-0.22, -0.03),
    "hood_mid": (-0.10, -0.06),
    "cowl": (-0.16, -0.03),
    "header": (-0.08, -0.06),
    "roof": (0.0, -0.06),
    "roof_end": (0.05, -0.06),
    "glass_end": (0.12, -0.03),
    "bed_front": (0.0, 0.0),
    "bed_back": (0.0, 0.0),
    "deck_end": (0.10, -0.03),
    "tail": (0.15, 0.0),
    "back_bumper": (0.16, 0.0),
    "back_lip": (0.08, 0.0),
}


@dataclass(frozen=True, eq=False)
class Body:
    """Shape of one vehicle, in metres; x forward, y to its own left, z up, ground at z = 0.

    Attributes:
        kind: one of BODY_TYPES.
        names: names of the outline's corners, from the front lip over the roof to the back lip.
        middle: (K, 2) float64 x, z of the corners at y = 0.
        edge: (K, 2) float64 x, z of the corners at the vehicle's sides; x never increases.
        half_width: largest half width without mirrors.
        sill: height of the lower edge.
        belt: height of the windows' lower edge, at the front and at the back of the vehicle.
        tumble: tangent of the lean of the sides above the belt.
        taper: how much narrower the front and the back end are, as a fraction.
        wheel_radius: of the tyre.
        wheel_width: of the tyre.
        wheel_x: x of the front and of the back axle.
        pillars: x behind the front window, behind the back window, behind the quarter window.
        quarter: it has a quarter window.
        two_door: it has no back doors (a back side window is there all the same).
        panelled: a delivery vehicle without windows behind the front doors.
        has_bed: the deck behind the cabin is open.
    """

    kind: str
    names: tuple[str, ...]
    middle: np.ndarray
    edge: np.ndarray
    half_width: float
    sill: float
    belt: tuple[float, float]
    tumble: float
    taper: tuple[float, float]
    wheel_radius: float
    wheel_width: float
    wheel_x: tuple[float, float]
    pillars: tuple[float, float, float]
    quarter: bool
    two_door: bool
    panelled: bool
    has_bed: bool

    @property
    def length(self) -> float:
        """Bumper to bumper."""
        return float(np.ptp(self.middle[:, 0]))

    @property
    def height(self) -> float:
        """Ground to the highest point, the cargo box of a truck included."""
        return 1.28 * float(self.middle[:, 1].max()) if self.kind == "truck" else self.roof_height

    @property
    def roof_height(self) -> float:
        """Ground to the roof of the cabin."""
        return float(self.middle[:, 1].max())

    def corner(self, name: str) -> np.ndarray:
        """(2,) x, z of a named corner at the middle of the vehicle."""
        return self.middle[self.names.index(name)]

    def edge_corner(self, name: str) -> np.ndarray:
        """(2,) x, z of a named corner at the side of the vehicle."""
        return self.edge[self.names.index(name)]

    def belt_height(self, x: np.ndarray | float) -> np.ndarray:
        """Height of the belt line at x, in metres, of the shape of x."""
        ends = self.middle[-1, 0], self.middle[0, 0]
        return np.interp(x, ends, self.belt[::-1])

    def edge_height(self, x: np.ndarray | float) -> np.ndarray:
        """Height of the upper edge of the side at x, in metres, of the shape of x."""
        over = slice(self.names.index("nose"), self.names.index("tail") + 1)
        return np.interp(x, self.edge[over, 0][::-1], self.edge[over, 1][::-1])

    def side(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Half width (y of the left side) at x, z, in metres; their shapes broadcast."""
        belt = self.belt_height(x)
        share = np.clip((z - self.sill) / (belt - self.sill), 0.0, 1.0)
        bulge = 1.0 - 0.05 * (1.0 - share) ** 2 - 0.025 * share**4
        front, back = self.middle[0, 0] + 0.1, self.middle[-1, 0] - 0.1
        reach = 1.1 if self.length < 6 else 0.7
        nearness_f = np.clip((x - front + reach) / reach, 0.0, 1.0)
        nearness_b = np.clip((back + reach - x) / reach, 0.0, 1.0)
        plan = 1.0 - self.taper[0] * nearness_f**2.2 - self.taper[1] * nearness_b**2.2
        return self.half_width * plan * bulge - self.tumble * np.maximum(z - belt, 0.0)


@cache
def _specs() -> dict[str, Any]:
    return yaml.safe_load(_BODY_FILE.read_text(encoding="utf-8"))


def sample_body(rng: np.random.Generator, kinds: Sequence[str] = BODY_TYPES) -> Body:
    """A random vehicle of one of several types, each as frequent as it usually is.

    Args:
        rng: source of all randomness.
        kinds: of BODY_TYPES.
    """
    shares = np.array([_TYPE_SHARES[kind] for kind in kinds])
    kind = str(rng.choice(kinds, p=shares / shares.sum())) if len(kinds) > 1 else kinds[0]
    spec = _specs()[kind]
    names = tuple(spec["profile"])
    stretch = np.array([rng.uniform(0.94, 1.06), rng.uniform(0.95, 1.05)])
    middle = np.array([spec["profile"][name] for name in names]) * stretch
    # One draw moves each of these corners along the vehicle, so that rooflines differ.
    slack = 0.09 if spec["profile"]["header"][1] < 2 else 0.02
    for name in ("hood_mid", "header", "roof_end"):
        middle[names.index(name), 0] += rng.uniform(-slack, slack)
    shift = np.array([_EDGE_SHIFT[name] for name in names]) * (spec["round"], 1.0)
    edge = middle + shift
    edge[:, 0] = np.minimum.accumulate(edge[:, 0] - 1e-3 * np.arange(len(names)))
    bed = "bed_front" in names
    if bed:  # the sides of the bed stand up to the rail
        rail = [names.index("bed_front"), names.index("bed_back")]
        edge[rail, 1] = middle[names.index("deck_end"), 1] - 0.02
        edge[rail[1], 0] = max(edge[rail[1], 0], edge[rail[1] + 1, 0] + 0.02)
    b, c, d = spec["pillars"]
    two_door = kind in {"hatchback", "pickup"} and rng.random() < 0.22
    if two_door and kind == "hatchback":
        b -= 0.25
    panelled = kind == "van" and rng.random() < 0.3
    wheel = spec["wheel"]
    return Body(
        kind=kind,
        names=names,
        middle=middle,
        edge=edge,
        half_width=spec["width"] / 2 * rng.uniform(0.97, 1.03),
        sill=spec["sill"] * stretch[1],
        belt=(spec["belt"][0] * stretch[1], spec["belt"][1] * stretch[1]),
        tumble=spec["tumble"] * rng.uniform(0.85, 1.1),
        taper=(spec["taper"][0], spec["taper"][1]),
        wheel_radius=wheel["radius"] * rng.uniform(0.96, 1.04),
        wheel_width=wheel["width"],
        wheel_x=(wheel["x"][0] * stretch[0], wheel["x"][1] * stretch[0]),
        pillars=(b * stretch[0], c * stretch[0], (c if d is None else d) * stretch[0]),
        quarter=d is not None and not panelled and (kind != "sedan" or rng.random() < 0.5),
        two_door=two_door,
        panelled=panelled,
        has_bed=bed,
    )
