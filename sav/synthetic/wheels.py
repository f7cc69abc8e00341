"""Wheels, and the wheel houses that they stand in."""

from __future__ import annotations

import numpy as np

from sav.synthetic.atlas import MATTE, Atlas
from sav.synthetic.bodies import Body
from sav.synthetic.parts import PART_ID

WHEEL_NAMES = ("left_front_wheel", "left_back_wheel", "right_front_wheel", "right_back_wheel")
WHEEL_SCALE = 0.4
"""A tyre's radius on its unit square of the chart "wheels"; the rest is margin."""

_SEGMENTS = 20


def arch_radius(body: Body) -> float:
    """Radius of the cut-out above a wheel."""
    return body.wheel_radius * 1.13


def build_wheel(body: Body, name: str, atlas: Atlas) -> list[tuple[np.ndarray, ...]]:
    """One wheel as quads (n, 4, 3), normals and texels: two discs, tread and wheel house."""
    sign = 1.0 if name.startswith("left") else -1.0
    axle = body.wheel_x[0 if "front" in name else 1]
    radius = body.wheel_radius
    outer = float(body.side(np.array(axle), np.array(body.sill + 0.1))) - 0.015
    inner = outer - body.wheel_width
    turn = np.linspace(0, 2 * np.pi, _SEGMENTS + 1)
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    ring = np.stack([axle + radius * circle[:, 0], radius + radius * circle[:, 1]], 1)
    tile = WHEEL_NAMES.index(name)
    tyre = atlas.swatch(PART_ID[name], (26, 26, 28), MATTE)

    def place(xz: np.ndarray, y: float | np.ndarray) -> np.ndarray:
        return np.stack([xz[..., 0], np.broadcast_to(sign * y, xz.shape[:-1]), xz[..., 1]], -1)

    hub = np.broadcast_to([axle, radius], (_SEGMENTS // 2, 2))
    fan = np.stack([hub, ring[0:-2:2], ring[1:-1:2], ring[2::2]], 1)
    flat = np.stack([np.zeros_like(hub), circle[0:-2:2], circle[1:-1:2], circle[2::2]], 1)
    texels = atlas.texels("wheels", (tile + 0.5, 0.5) + WHEEL_SCALE * flat)
    plain = np.broadcast_to(tyre, texels.shape)
    outward = np.broadcast_to([0.0, sign, 0.0], (*fan.shape[:2], 3))
    tread = np.stack(
        [
            place(ring[:-1], outer),
            place(ring[1:], outer),
            place(ring[1:], inner),
            place(ring[:-1], inner),
        ],
        1,
    )
    radial = np.stack([circle[:, 0], np.zeros(len(circle)), circle[:, 1]], 1)
    tread_normals = np.stack([radial[:-1], radial[1:], radial[1:], radial[:-1]], 1)
    # It must stay under the hood and the floor of a bed, but close the view through the arch.
    top = radius + arch_radius(body) - 0.01
    house = np.array([[-1.0, 0], [1.0, 0], [1.0, 1], [-1.0, 1]])
    house = house * (1.9 * radius, top - 0.9 * radius) + np.array((axle, 0.9 * radius))
    house_part = atlas.swatch(PART_ID["underbody"], (14, 14, 16), MATTE)
    half_turn = np.linspace(0, np.pi, 9)
    lip = np.stack([np.cos(half_turn), np.sin(half_turn)], 1)
    arch = lip * arch_radius(body) + np.array((axle, radius))
    skirt = body.side(arch[:, 0], arch[:, 1])
    wall = inner - 0.03
    liner = np.stack(
        [
            place(arch[:-1], skirt[:-1]),
            place(arch[:-1], wall),
            place(arch[1:], wall),
            place(arch[1:], skirt[1:]),
        ],
        1,
    )
    downward = np.stack([-lip[:, 0], np.zeros(len(lip)), -lip[:, 1]], 1)
    liner_normals = np.repeat(downward[:-1, None], 4, axis=1)
    # Seen from the left side, x runs to the viewer's left: order the corners for either side.
    flip = slice(None, None, -1) if sign > 0 else slice(None)
    back = slice(None) if sign > 0 else slice(None, None, -1)
    return [
        (place(fan, outer)[:, flip], outward, texels[:, flip]),
        (place(fan, inner)[:, back], -outward, plain),
        (tread[:, back], tread_normals[:, back], np.broadcast_to(tyre, (len(tread), 4, 2))),
        (
            place(house, wall)[None, flip],
            np.broadcast_to([0.0, sign, 0.0], (1, 4, 3)),
            np.broadcast_to(house_part, (1, 4, 2)),
        ),
        (liner[:, back], liner_normals, np.broadcast_to(house_part, (len(liner), 4, 2))),
    ]
