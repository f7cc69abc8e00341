"""Colours of a vehicle, and the painting of its atlas."""

from __future__ import annotations

import string
from dataclasses import dataclass

import cv2
import numpy as np

from sav.synthetic.atlas import CHROME, MATTE, Atlas, Color
from sav.synthetic.bodies import Body
from sav.synthetic.mesh import Outline
from sav.synthetic.parts import PART_ID
from sav.synthetic.wheels import WHEEL_NAMES, WHEEL_SCALE

BLACK = (16, 16, 18)

_PAINTS = (
    (235, 236, 238),
    (225, 226, 222),
    (34, 36, 40),
    (20, 21, 24),
    (120, 124, 130),
    (168, 172, 178),
    (84, 88, 94),
    (150, 22, 26),
    (176, 40, 30),
    (24, 52, 120),
    (40, 84, 160),
    (26, 70, 62),
    (60, 84, 58),
    (116, 86, 58),
    (214, 178, 58),
    (210, 112, 40),
    (190, 178, 150),
)


@dataclass(frozen=True, eq=False)
class Workpiece:
    """A vehicle while it is painted.

    Attributes:
        body: its shape.
        outline: its rounded outline.
        atlas: what is painted on.
        colors: from :func:`sample_colors`.
        rng: source of all randomness.
    """

    body: Body
    outline: Outline
    atlas: Atlas
    colors: dict[str, Color]
    rng: np.random.Generator

    @property
    def paint(self) -> np.ndarray:
        """(3,) RGB of the body, 0 to 255."""
        return np.asarray(self.colors["paint"])

    @property
    def seam(self) -> np.ndarray:
        """(3,) RGB of the gaps between body panels."""
        return self.paint * 0.35

    @property
    def glass(self) -> np.ndarray:
        """(3,) RGB of the windows."""
        return np.asarray(self.colors["glass"])

    def half_width(self, arc: float) -> float:
        """Half width of the vehicle at an arc of its outline."""
        return float(np.interp(arc, self.outline.arc, self.body.side(*self.outline.edge.T)))

    def plate(self, part: str, arc: float, *, front: bool) -> None:
        """Put a licence plate with characters on the ribbon, upright for who faces it."""
        rng, density = self.rng, self.atlas.density
        wide = rng.random() < 0.75
        cols, rows = (round(m * density) for m in ((0.54, 0.15) if wide else (0.38, 0.22)))
        ground = ((240, 240, 236), (242, 226, 110), (226, 232, 240))[
            rng.choice(3, p=(0.6, 0.2, 0.2))
        ]
        patch = np.full((rows, cols, 3), ground, np.uint8)
        cv2.rectangle(patch, (0, 0), (cols - 1, rows - 1), (60, 60, 64), 1)
        signs = string.ascii_uppercase + string.digits
        text = "".join(signs[i] for i in rng.integers(0, len(signs), 6 if wide else 4))
        scale = cols / (9.6 * len(text) + 8)
        foot = (3, rows // 2 + round(5 * scale))
        ink = (24, 26, 40)
        cv2.putText(patch, text, foot, cv2.FONT_HERSHEY_PLAIN, scale, ink, 1, cv2.LINE_AA)
        # Chart rows run to the vehicle's left, columns up at the front and down at the back.
        laid = patch[::-1] if front else patch[:, ::-1]
        self.atlas.stamp("ribbon", (arc, 0.0), laid.transpose(1, 0, 2), PART_ID[part], MATTE)


def sample_colors(rng: np.random.Generator) -> dict[str, Color]:
    """Random RGB colours (0-255) of "paint", "trim", "mirror", "rim", "glass" and "box"."""
    paint = np.array(_PAINTS[rng.integers(len(_PAINTS))], float)
    if rng.random() < 0.15:
        paint = rng.uniform(20, 235, 3)
    paint = np.clip(paint * rng.uniform(0.85, 1.1) + rng.uniform(-8, 8, 3), 8, 245)
    dark = np.array((32, 32, 34)) + rng.uniform(-10, 12)
    return {
        "paint": paint,
        "trim": dark if rng.random() < 0.4 else paint * 0.96,
        "mirror": paint if rng.random() < 0.7 else dark,
        "rim": np.array((1, 1, 1.02)) * rng.choice((215.0, 190.0, 160.0, 60.0)),
        "glass": np.array((24, 30, 36)) + rng.uniform(-8, 26),
        "box": np.array((235, 235, 232)) if rng.random() < 0.6 else rng.uniform(60, 230, 3),
    }


def blank_atlas(body: Body, outline: Outline) -> Atlas:
    """An unpainted atlas.

    "ribbon" is spanned by the arc along the outline and y, "left" and "right" by x and z,
    "wheels" holds four unit squares.
    """
    half = body.half_width + 0.05
    side = (body.middle[-1, 0] - 0.3, body.middle[0, 0] + 0.3, 0.0, body.roof_height + 0.1)
    charts = {
        "ribbon": (-0.1, outline.arc[-1] + 0.1, -half, half),
        "left": side,
        "right": side,
        "wheels": (0.0, 4.0, 0.0, 1.0),
    }
    return Atlas(charts, float(np.clip(500 / body.length, 60, 120)))


def paint_wheels(work: Workpiece) -> None:
    """Tyres and spoked rims."""
    rng, atlas = work.rng, work.atlas
    spokes = int(rng.choice((5, 6, 7, 10)))
    rim = np.asarray(work.colors["rim"])
    radius = WHEEL_SCALE * (rng.uniform(0.62, 0.74) if work.body.length < 6 else 0.55)
    turned = rng.uniform(0, 2 * np.pi)
    for tile, name in enumerate(WHEEL_NAMES):
        center = np.array([tile + 0.5, 0.5])
        square = (tile if tile else -1, tile + 1)
        tyre = {"part": PART_ID[name], "color": (28, 28, 30), "material": MATTE}
        atlas.rect("wheels", square, (-0.03, 1.03), **tyre)
        atlas.disc("wheels", center, radius * 1.04, color=rim * 0.8, material=CHROME)
        atlas.disc("wheels", center, radius * 0.9, color=(22, 22, 24), material=MATTE)
        for k in range(spokes):
            angle = turned + 2 * np.pi * k / spokes
            out = np.array([np.cos(angle), np.sin(angle)])
            off = np.array([-out[1], out[0]]) * radius * (1.1 / spokes)
            tip = center + out * radius * 0.95
            spoke = [center - off, tip - off * 0.8, tip + off * 0.8, center + off]
            atlas.polygon("wheels", spoke, color=rim, material=CHROME)
        atlas.disc("wheels", center, radius * 0.22, color=rim * 0.7, material=CHROME)
