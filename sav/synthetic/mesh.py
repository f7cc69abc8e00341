"""From a body's outline to quads: the lofted shell, mirrors and boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sav.synthetic.atlas import CHROME, GLASS, PAINT, Atlas, Color
from sav.synthetic.bodies import Body
from sav.synthetic.parts import PART_ID
from sav.synthetic.wheels import WHEEL_NAMES, arch_radius, build_wheel

_LATERAL = np.array([-1, -0.93, -0.75, -0.4, 0, 0.4, 0.75, 0.93, 1])
_ROUNDING = 0.10


@dataclass(frozen=True, eq=False)
class Mesh:
    """Quads of one vehicle in its own frame.

    Attributes:
        quads: (F, 4, 3) corners in metres, counter-clockwise seen from outside.
        normals: (F, 4, 3) unit normals at the corners.
        texels: (F, 4, 2) atlas column, row at the corners.
    """

    quads: np.ndarray
    normals: np.ndarray
    texels: np.ndarray


@dataclass(frozen=True, eq=False)
class Outline:
    """A body's outline with rounded corners.

    Attributes:
        arc: (S,) metres along the outline at the middle of the vehicle.
        middle: (S, 2) x, z at the middle.
        edge: (S, 2) x, z at the sides.
        corner_arc: arc of each named corner.
        bed: (S,) bool, stations of an open bed.
    """

    arc: np.ndarray
    middle: np.ndarray
    edge: np.ndarray
    corner_arc: dict[str, float]
    bed: np.ndarray


def trace_outline(body: Body) -> Outline:
    """Round the corners of a body's outline."""
    both = np.concatenate([body.middle, body.edge], 1)
    stations, corner_index = [both[:1]], [0]
    for before, corner, after in zip(both[:-2], both[1:-1], both[2:], strict=True):
        ends = []
        for other in (before, after):
            reach = np.linalg.norm((other - corner)[:2])
            ends.append(corner + (other - corner) * min(_ROUNDING / reach, 0.35))
        bend = 0.25 * ends[0] + 0.5 * corner + 0.25 * ends[1]
        corner_index.append(sum(map(len, stations)) + 1)
        stations.append(np.stack([ends[0], bend, ends[1]]))
    corner_index.append(sum(map(len, stations)))
    points = np.concatenate([*stations, both[-1:]])
    steps = np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1)
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    arcs = {name: float(arc[i]) for name, i in zip(body.names, corner_index, strict=True)}
    bed = np.zeros(len(arc), bool)
    if body.has_bed:
        bed = (arc > arcs["bed_front"] - 0.06) & (arc < arcs["bed_back"] + 0.06)
    return Outline(arc, points[:, :2], points[:, 2:], arcs, bed)


def build_mesh(body: Body, outline: Outline, atlas: Atlas, colors: dict[str, Color]) -> Mesh:
    """All quads of a vehicle.

    Args:
        body: its shape.
        outline: from :func:`trace_outline`.
        atlas: with the charts "ribbon", "left", "right" and "wheels"; swatches are added to it.
        colors: RGB of "mirror" and "box".
    """
    pieces = [_ribbon(body, outline, atlas), *_sides(body, outline, atlas)]
    for name in WHEEL_NAMES:
        pieces += build_wheel(body, name, atlas)
    pieces += _details(body, atlas, colors)
    return Mesh(*(np.concatenate(arrays) for arrays in zip(*pieces, strict=True)))


def _grid(points: np.ndarray, normals: np.ndarray, texels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Quads of a grid (I, J, ·), counter-clockwise when i, j and the normal are right-handed."""

    def corners(grid: np.ndarray) -> np.ndarray:
        quads = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], 2)
        return quads.reshape(-1, 4, grid.shape[-1])

    return corners(points), corners(normals), corners(texels)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _side_normals(body: Body, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Unit normals (..., 3) of the left side."""
    step = 0.02
    along = (body.side(x + step, z) - body.side(x - step, z)) / (2 * step)
    up = (body.side(x, z + step) - body.side(x, z - step)) / (2 * step)
    return _unit(np.stack([-along, np.ones_like(along), -up], -1))


def _ribbon(body: Body, outline: Outline, atlas: Atlas) -> tuple[np.ndarray, ...]:
    """Everything that runs across the vehicle: bumpers, hood, windshield, roof, trunk."""
    share = np.tile(np.abs(_LATERAL) ** 2.4, (len(outline.arc), 1))
    share[outline.bed] = np.abs(_LATERAL) == 1
    profile = outline.middle[:, None] + share[..., None] * (outline.edge - outline.middle)[:, None]
    half = body.side(outline.edge[:, 0], outline.edge[:, 1])
    y = half[:, None] * _LATERAL
    points = np.stack([profile[..., 0], y, profile[..., 1]], -1)
    normals = _unit(np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0)))
    side = _side_normals(body, outline.edge[:, 0], outline.edge[:, 1])
    normals[:, -1] = _unit(normals[:, -1] + side)
    normals[:, 0] = _unit(normals[:, 0] + side * (1, -1, 1))
    flat = np.stack([np.broadcast_to(outline.arc[:, None], y.shape), y], -1)
    # from front to back and from right to left: turned to have the normal outside
    return _grid(points[:, ::-1], normals[:, ::-1], atlas.texels("ribbon", flat[:, ::-1]))


def _sides(body: Body, outline: Outline, atlas: Atlas) -> list[tuple[np.ndarray, ...]]:
    """The two sides, with real wheel arches cut out."""
    reach = arch_radius(body)
    turn = np.linspace(np.pi, 0, 11)
    arches = [axle + reach * np.cos(turn) for axle in body.wheel_x]
    edge_x = outline.edge[:, 0]
    x = np.unique(np.concatenate([edge_x, *arches]))
    x = x[(x >= edge_x[-1]) & (x <= edge_x[0])]
    bottom = lower_edge(body, x)
    top = np.interp(x, edge_x[::-1], outline.edge[::-1, 1])
    top = np.maximum(top, bottom + 0.01)
    middle = np.clip(body.belt_height(x), bottom + 0.005, top)
    rows = [bottom + f * (middle - bottom) for f in (0.0, 0.15, 0.5, 0.85, 1.0)]
    rows += [middle + f * (top - middle) for f in (0.5, 1.0)]
    z = np.stack(rows, 1)
    xs = np.broadcast_to(x[:, None], z.shape)
    points = np.stack([xs, body.side(xs, z), z], -1)
    normals = _side_normals(body, xs, z)
    tangent = np.gradient(np.stack([x, top], 1), axis=0)
    upward = np.stack([-tangent[:, 1], np.zeros(len(x)), tangent[:, 0]], 1)
    normals[:, -1] = _unit(normals[:, -1] + _unit(upward))
    flat = np.stack([xs, z], -1)
    mirrored = np.array([1.0, -1.0, 1.0])
    left = _grid(points[:, ::-1], normals[:, ::-1], atlas.texels("left", flat[:, ::-1]))
    right = _grid(points * mirrored, normals * mirrored, atlas.texels("right", flat))
    return [left, right]


def lower_edge(body: Body, x: np.ndarray) -> np.ndarray:
    """Height of the sides' lower edge at x (n,), wheel arches included: (n,) metres."""
    front, back = body.edge[0], body.edge[-1]
    knots = [back[0], back[0] + 0.5, front[0] - 0.5, front[0]]
    bottom = np.interp(x, knots, [back[1], body.sill, body.sill, front[1]])
    reach = arch_radius(body)
    for axle in body.wheel_x:
        inside = np.maximum(reach**2 - (x - axle) ** 2, 0.0)
        arch = np.where(inside > 0, body.wheel_radius + np.sqrt(inside), 0.0)
        bottom = np.maximum(bottom, arch)
    return bottom


def _box(
    low: np.ndarray, high: np.ndarray, swatch: np.ndarray, back: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """The six faces of an axis-parallel box; `back` is the swatch of the face towards -x."""
    faces, normals = [], []
    for axis in range(3):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        for sign in (-1, 1):
            corners = np.empty((4, 3))
            corners[:, axis] = high[axis] if sign > 0 else low[axis]
            corners[:, one] = [low[one], high[one], high[one], low[one]]
            corners[:, two] = [low[two], low[two], high[two], high[two]]
            faces.append(corners if sign > 0 else corners[::-1])
            normal = np.zeros((4, 3))
            normal[:, axis] = sign
            normals.append(normal)
    texels = np.tile(swatch, (6, 4, 1))
    if back is not None:
        texels[0] = back
    return np.stack(faces), np.stack(normals), texels


def _details(body: Body, atlas: Atlas, colors: dict[str, Color]) -> list[tuple[np.ndarray, ...]]:
    """Mirrors, roof rails and a truck's cargo box."""
    pieces = []
    tall_vehicle = body.kind in {"bus", "truck"}
    x = body.edge_corner("cowl")[0] - (0.12 if body.length < 6 else -0.05)
    z = float(body.belt_height(x)) + 0.06 + 0.2 * tall_vehicle
    y = float(body.side(np.array(x), np.array(z))) - 0.02
    deep, wide, tall = (0.12, 0.24, 0.16) if not tall_vehicle else (0.12, 0.26, 0.34)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shell = atlas.swatch(PART_ID[f"{side}_mirror"], colors["mirror"], PAINT)
        glass = atlas.swatch(PART_ID[f"{side}_mirror"], (70, 78, 88), GLASS)
        low = np.array([x - deep, min(sign * y, sign * (y + wide)), z])
        quads, normals, texels = _box(low, low + np.array((deep, wide, tall)), shell, glass)
        # The outer half leans back and is lower, so that a mirror is no brick.
        share = np.clip((np.abs(quads[..., 1]) - y) / wide, 0, 1)
        quads = quads - share[..., None] * (0.05, 0, 0)
        quads[..., 2] -= share * 0.03 * np.sign(quads[..., 2] - z - tall / 2)
        pieces.append((quads, normals, texels))
    if body.kind == "suv":
        rail = atlas.swatch(PART_ID["roof"], (60, 60, 62), CHROME)
        front, end = body.edge_corner("roof"), body.edge_corner("roof_end")
        half = float(body.side(front[0], front[1])) - 0.08
        slope = (front[1] - end[1]) / (front[0] - end[0])
        for sign in (1.0, -1.0):
            low = np.array([end[0] + 0.05, sign * half - 0.02, end[1] + 0.02])
            quads, normals, texels = _box(
                low, low + np.array((front[0] - low[0], 0.04, 0.05)), rail
            )
            quads[..., 2] += slope * (quads[..., 0] - end[0])
            pieces.append((quads, normals, texels))
    if body.kind == "truck":
        pieces += _cargo(body, atlas, colors["box"])
    return pieces


def _cargo(body: Body, atlas: Atlas, color: Color) -> list[tuple[np.ndarray, ...]]:
    """A truck's box with a door at its back."""
    front = body.corner("glass_end")[0] - 0.12
    back = body.corner("back_bumper")[0] + 0.02
    floor, half = body.corner("deck_end")[1], body.half_width + 0.04
    skin = atlas.swatch(PART_ID["cargo_box"], color, PAINT)
    dark = [c * 0.8 for c in color]
    frame = atlas.swatch(PART_ID["cargo_box"], dark, PAINT)
    low, high = np.array([back, -half, floor]), np.array([front, half, body.height])
    pieces = [_box(low, high, skin)]
    for z in (floor, body.height - 0.1):
        pieces.append(
            _box(
                np.array([back - 0.01, -half - 0.01, z]),
                np.array([front + 0.01, half + 0.01, z + 0.1]),
                frame,
            )
        )
    door = atlas.swatch(PART_ID["tailgate"], [min(c * 1.04, 255) for c in color], PAINT)
    for sign in (-1, 1):
        a, b = sorted((sign * 0.015, sign * (half - 0.1)))
        pieces.append(
            _box(
                np.array([back - 0.02, a, floor + 0.12]),
                np.array([back, b, body.height - 0.13]),
                door,
            )
        )
    return pieces
