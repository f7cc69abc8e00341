"""Paints the sides of a vehicle: doors with seams and handles, windows, lamps, trim."""

from __future__ import annotations

import numpy as np

from sav.synthetic.atlas import GLASS, LAMP, MATTE, PAINT
from sav.synthetic.bodies import Body
from sav.synthetic.mesh import lower_edge
from sav.synthetic.paint import BLACK, Workpiece
from sav.synthetic.parts import PART_ID, swap_sides
from sav.synthetic.wheels import arch_radius

_CHART = "left"


def paint_sides(work: Workpiece) -> None:
    """Paint the left side, and the right side as its mirror image."""
    _panels(work)
    _lights(work)
    _doors(work)
    _windows(work)
    _trim(work)
    atlas = work.atlas
    left, right = atlas.rows("left"), atlas.rows("right")
    atlas.part[right] = swap_sides()[atlas.part[left]]
    atlas.color[right] = atlas.color[left]
    atlas.material[right] = atlas.material[left]


def tail_light_heights(body: Body) -> tuple[float, float]:
    """Lower and upper edge of the tail lights."""
    tail, deck = body.corner("tail")[1], body.corner("deck_end")[1]
    if body.kind == "truck":
        return tail - 0.1, tail + 0.06
    if body.kind in {"suv", "van", "hatchback"}:
        return tail - 0.02, deck + (0.30 if body.kind == "van" else 0.08)
    return tail - 0.04, deck - 0.03


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Closed polygon (2N, 2) between two curves over x, where high is above low."""
    keep = high > low
    x, low, high = x[keep], low[keep], high[keep]
    return np.concatenate([np.stack([x, low], 1), np.stack([x, high], 1)[::-1]])


def _door_front(body: Body) -> float:
    """X coordinate of the front edge of the front doors."""
    cowl = float(body.edge_corner("cowl")[0])
    if body.length > 6:
        return cowl - 0.12
    return min(cowl - 0.02, body.wheel_x[0] - arch_radius(body) - 0.06)


def _panels(work: Workpiece) -> None:
    """The side itself, its character line, lower trim and the ends of the bumpers."""
    body, atlas, paint, trim = work.body, work.atlas, work.paint, work.colors["trim"]
    atlas.fill(_CHART, PART_ID["left_frame"], paint, PAINT)
    front, back = work.outline.edge[0, 0], work.outline.edge[-1, 0]
    line = body.sill + 0.62 * (float(body.belt_height(0.0)) - body.sill)
    atlas.line(_CHART, [(back, line + 0.02), (front, line - 0.05)], paint * 0.8, 0.02)
    atlas.line(_CHART, [(back, line + 0.04), (front, line - 0.03)], paint * 1.12, 0.015)
    low = 0.16 if body.kind == "suv" else 0.10
    atlas.rect(_CHART, (back, front), (0, body.sill + low), color=trim, material=MATTE)
    reach = arch_radius(body)
    if body.kind == "suv":
        for axle in body.wheel_x:
            spot = (axle, body.wheel_radius)
            atlas.disc(_CHART, spot, reach + 0.06, color=trim, material=MATTE)
    for part, end, arch, upper in (
        ("front_bumper", front, body.wheel_x[0] + reach, body.edge_corner("nose")[1] + 0.02),
        ("back_bumper", back, body.wheel_x[1] - reach, body.edge_corner("tail")[1] - 0.1),
    ):
        outside = end + np.sign(end) * 0.5
        middle = 0.5 * (arch + end)
        shape = [(arch, 0.0), (outside, 0.0), (outside, upper), (middle, upper)]
        shape.append((arch, upper - 0.22))
        atlas.polygon(_CHART, shape, part=PART_ID[part])
        atlas.line(_CHART, shape, work.seam, 0.015, closed=True)


def _lights(work: Workpiece) -> None:
    """Head and tail lights where they reach round the corner."""
    body, atlas = work.body, work.atlas
    front, back = work.outline.edge[0, 0], work.outline.edge[-1, 0]
    nose, hood = body.edge_corner("nose")[1] + 0.02, body.edge_corner("hood_edge")[1]
    wrap = 0.34 if body.length < 6 else 0.1
    head = [(front + 0.5, nose), (front + 0.5, hood - 0.01), (front - wrap, hood + 0.02)]
    head.append((front - 0.3 * wrap, nose))
    low, high = tail_light_heights(body)
    wrap = 0.26 if body.length < 6 else 0.06
    tail = [(back - 0.5, low), (back - 0.5, high), (back + wrap, high), (back + 0.5 * wrap, low)]
    for part, lamp, color in (
        ("left_head_light", head, np.array((200, 206, 212))),
        ("left_tail_light", tail, np.array((160, 14, 18))),
    ):
        atlas.polygon(_CHART, lamp, part=PART_ID[part], color=color, material=LAMP)
        atlas.line(_CHART, lamp, color * 0.3, 0.02, closed=True)


def _doors(work: Workpiece) -> None:
    body, atlas, paint = work.body, work.atlas, work.paint
    b, c, _ = body.pillars
    bottom = body.sill + 0.11
    doors = [("left_front_door", b, _door_front(body))]
    if not body.two_door and body.kind not in {"bus", "truck"}:
        doors.append(("left_back_door", c, b))
    grip = np.array((205, 205, 208)) if work.rng.random() < 0.4 else np.minimum(paint * 1.1, 255)
    for part, back, front in doors:
        x = np.linspace(back, front, 24)
        lower = np.maximum(bottom, lower_edge(body, x) + 0.06)
        upper = np.maximum(body.edge_height(x) - 0.035, body.belt_height(x) - 0.02)
        shape = _band(x, lower, upper)
        atlas.polygon(_CHART, shape, part=PART_ID[part])
        atlas.line(_CHART, shape, work.seam, 0.018, closed=True)
        left, low = back + 0.12, float(body.belt_height(back)) - 0.14
        around = ((left - 0.01, left + 0.19), (low - 0.015, low + 0.035))
        atlas.rect(_CHART, *around, color=paint * 0.5)
        atlas.rect(_CHART, (left, left + 0.18), (low, low + 0.03), color=grip)


def _panes(work: Workpiece) -> list[tuple[str, float, float]]:
    """Part, back and front x of each side window, from the front to the back."""
    body = work.body
    b, c, d = body.pillars
    panes = [("left_front_window", b + 0.04, _door_front(body))]
    if body.kind == "bus":
        ends = np.linspace(b - 0.02, c, int(work.rng.integers(5, 8)))
        pairs = zip(ends[1:], ends[:-1], strict=True)
        panes += [("left_back_window", back + 0.05, front - 0.03) for back, front in pairs]
    elif body.kind != "truck" and not body.panelled:
        panes.append(("left_back_window", c + 0.05, b - 0.04))
        if body.quarter:
            panes.append(("left_quarter_window", d, c - 0.01))
    return panes


def _windows(work: Workpiece) -> None:
    body, atlas = work.body, work.atlas
    x = np.linspace(body.edge_corner("glass_end")[0], body.edge_corner("cowl")[0], 160)
    floor = body.belt_height(x) + 0.02
    roof = body.edge_height(x) - (0.085 if body.height < 2.2 else 0.16)
    if body.kind == "bus":
        roof = np.minimum(roof, body.roof_height * 0.84)
    panes = _panes(work)
    # The last pane follows the leaning pillar behind it.
    lean = 0.12 if body.kind in {"sedan", "hatchback"} else 0.03
    last = panes[-1][1]
    slanted = np.minimum(roof, roof - (last + lean - x) * 2.2)
    if body.height < 2.2:  # black between the panes and around them
        around = (x > last - 0.03) & (x < panes[0][2])
        band = _band(x[around], floor[around] - 0.02, slanted[around] + 0.03)
        atlas.polygon(_CHART, band, color=BLACK)
    for part, back, front in panes:
        inside = (x >= back) & (x <= front)
        upper = slanted if back == last else roof
        shape = _band(x[inside], floor[inside], upper[inside])
        if len(shape) < 8:
            continue
        atlas.polygon(_CHART, shape, part=PART_ID[part], color=work.glass, material=GLASS)
        if front - back > 0.5 and body.kind != "bus":
            seat = 0.5 * (back + front) - 0.1
            base = float(body.belt_height(seat)) + 0.02
            rest = ((seat - 0.08, seat + 0.1), (base, base + 0.18))
            atlas.rect(_CHART, *rest, color=work.glass * 0.45)


def _trim(work: Workpiece) -> None:
    """Filler cap, and the lips of the wheel arches."""
    body, atlas = work.body, work.atlas
    if work.rng.random() < 0.8 and body.length < 6:
        x = body.wheel_x[1] + 0.02
        turn = np.linspace(0, 2 * np.pi, 16)
        ring = 0.07 * np.stack([np.cos(turn), np.sin(turn)], 1)
        middle = np.array((x, float(body.belt_height(x)) - 0.17))
        atlas.line(_CHART, ring + middle, work.seam, 0.01)
    turn = np.linspace(0, np.pi, 16)
    arc = np.stack([np.cos(turn), np.sin(turn)], 1) * (arch_radius(body) + 0.015)
    for axle in body.wheel_x:
        hub = np.array((axle, body.wheel_radius))
        atlas.line(_CHART, arc + hub, work.paint * 0.45, 0.03)
