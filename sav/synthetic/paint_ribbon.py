"""Paints what runs across a vehicle: bumpers, grille, hood, glass, roof, trunk, lamps, plates."""

from __future__ import annotations

import numpy as np

from sav.synthetic.atlas import CHROME, GLASS, LAMP, MATTE, PAINT, Color
from sav.synthetic.paint import BLACK, Workpiece
from sav.synthetic.paint_sides import tail_light_heights
from sav.synthetic.parts import PART_ID

_CHART = "ribbon"
_SIDES = ((1, "left"), (-1, "right"))


def paint_ribbon(work: Workpiece) -> None:
    """Paint the whole ribbon, front to back."""
    body, atlas, arcs = work.body, work.atlas, work.outline.corner_arc
    half, end = body.half_width + 0.05, work.outline.arc[-1] + 1.0
    atlas.fill(_CHART, PART_ID["left_frame"], work.paint, PAINT)
    atlas.rect(_CHART, (-1.0, end), (0, -half), part=PART_ID["right_frame"])
    roof = (arcs["header"], arcs["roof_end"])
    atlas.rect(_CHART, (-1.0, arcs["hood_edge"]), (-half, half), part=PART_ID["front_bumper"])
    atlas.rect(_CHART, roof, (-half, half), part=PART_ID["roof"])
    _hood(work)
    _screen(work, "windshield", (arcs["cowl"] + 0.03, arcs["header"] - 0.05), (0.07, 0.08))
    if body.kind not in {"sedan", "hatchback"} or work.rng.random() < 0.5:
        for sign in (1, -1):  # wipers
            ends = [
                (arcs["cowl"] + 0.03, sign * 0.5 - 0.1),
                (arcs["cowl"] + 0.1, sign * 0.3 + 0.35),
            ]
            atlas.line(_CHART, ends, BLACK, 0.02)
    _face(work)
    _lid_and_bumper(work)
    _rear_window(work)
    _tail_lights(work)
    _back_plate(work)


def _mirrored(points: list[tuple[float, float]]) -> np.ndarray:
    """Close a polygon over the middle of the vehicle."""
    one = np.asarray(points)
    return np.concatenate([one, one[::-1] * (1, -1)])


def _hood(work: Workpiece) -> None:
    arcs = work.outline.corner_arc
    start, middle, end = arcs["hood_edge"], arcs["hood_mid"], arcs["cowl"] - 0.03
    lid = _mirrored(
        [(s, work.half_width(s) - gap) for s, gap in ((start, 0.05), (middle, 0.09), (end, 0.09))]
    )
    work.atlas.polygon(_CHART, lid, part=PART_ID["hood"])
    work.atlas.line(_CHART, lid, work.seam, 0.018, closed=True)
    for sign, _ in _SIDES:
        crease = [(start + 0.05, sign * 0.35), (end - 0.07, sign * 0.5)]
        work.atlas.line(_CHART, crease, work.paint * 0.85, 0.02)


def _screen(
    work: Workpiece, part: str, ends: tuple[float, float], inset: tuple[float, float]
) -> None:
    """Glass from arc ends[0] (its lower edge) to ends[1], with black around and seats behind."""
    low, high = ends
    y_low, y_high = work.half_width(low) - inset[0], work.half_width(high) - inset[1]
    corners = _mirrored([(low, y_low), (high, y_high)])
    outward = np.sign(high - low) * np.array([[-1], [1], [1], [-1]]) * (0.03, 0)
    work.atlas.polygon(_CHART, corners * (1, 1.03) + outward, color=BLACK)
    work.atlas.polygon(_CHART, corners, part=PART_ID[part], color=work.glass, material=GLASS)
    step = high - low
    shape = np.array([(0.05, -0.2), (0.5, -0.17), (0.5, 0.17), (0.05, 0.2)]) * (step, 1)
    for sign, _ in _SIDES:
        seat = shape + np.array((low, sign * 0.6 * y_low))
        work.atlas.polygon(_CHART, seat, color=work.glass * 0.5)


def _face(work: Workpiece) -> None:
    """Grille, head lights, lower intake, fog lamps and the front plate."""
    atlas, rng, arcs = work.atlas, work.rng, work.outline.corner_arc
    nose, hood, bumper = arcs["nose"], arcs["hood_edge"], arcs["bumper"]
    half = work.half_width(hood)
    low, high, wide = nose - rng.uniform(0.02, 0.10), hood - 0.04, half * rng.uniform(0.42, 0.58)
    grille = _mirrored([(low, wide * 0.85), (high, wide)])
    atlas.polygon(_CHART, grille, part=PART_ID["grille"], color=BLACK, material=MATTE)
    bars = (195, 197, 200) if rng.random() < 0.6 else (60, 60, 64)
    for s in np.linspace(low, high, int(rng.integers(3, 7)))[1:-1]:
        atlas.line(_CHART, [(s, -wide * 0.9), (s, wide * 0.9)], bars, 0.012)
    atlas.line(_CHART, grille, bars, 0.02, closed=True)
    badge = (0.5 * (low + high), 0.0)
    atlas.disc(_CHART, badge, 0.06, color=(210, 212, 216), material=CHROME)
    inside = wide + 0.04
    shape = np.array(
        [
            (nose + 0.01, half + 0.1),
            (hood + 0.02, half + 0.1),
            (hood - 0.02, inside),
            (nose + 0.05, inside + 0.06),
        ]
    )
    for sign, side in _SIDES:
        lamp, part = shape * (1, sign), PART_ID[f"{side}_head_light"]
        atlas.polygon(_CHART, lamp, part=part, color=(205, 210, 216), material=LAMP)
        atlas.line(_CHART, lamp, (38, 38, 42), 0.02, closed=True)
        bulb = (0.5 * (nose + hood) + 0.01, sign * (0.5 * (inside + half) - 0.02))
        fog = (0.65 * bumper, sign * half * 0.78)
        for spot, outer, ring, glow in (
            (bulb, 0.065, (90, 94, 100), (250, 250, 244)),
            (fog, 0.06, BLACK, (225, 225, 215)),
        ):
            atlas.disc(_CHART, spot, outer, color=ring)
            atlas.disc(_CHART, spot, outer - 0.02, color=glow)
    intake = _mirrored([(0.06, half * 0.6), (0.7 * bumper, half * 0.5)])
    atlas.polygon(_CHART, intake, color=BLACK, material=MATTE)
    work.plate("front_plate", bumper + 0.02, front=True)


def _arc_at_height(work: Workpiece, z: float) -> float:
    """Arc at which the back of the outline has height z."""
    outline = work.outline
    start = outline.corner_arc["deck_end" if work.body.has_bed else "roof_end"]
    back = outline.arc >= start
    return float(np.interp(z, outline.middle[back, 1][::-1], outline.arc[back][::-1]))


def _bumper_top(work: Workpiece) -> float:
    return _arc_at_height(work, work.body.corner("tail")[1] - 0.1)


def _has_hatch(work: Workpiece) -> bool:
    return work.body.kind in {"hatchback", "suv", "van"}


def _lid_and_bumper(work: Workpiece) -> None:
    """Trunk lid, tailgate or bed with its gate, and the back bumper."""
    body, atlas, arcs = work.body, work.atlas, work.outline.corner_arc
    half, end = body.half_width + 0.05, work.outline.arc[-1] + 1.0
    glass_end, deck, tail = arcs["glass_end"], arcs["deck_end"], arcs["tail"]
    top = _bumper_top(work)
    if body.has_bed:
        inside: dict[str, int | Color] = {"part": PART_ID["bed"], "material": MATTE}
        across = (-half, half)
        atlas.rect(_CHART, (glass_end + 0.06, deck), across, color=(58, 58, 60), **inside)
        for y in np.linspace(-0.6, 0.6, 7):
            atlas.line(_CHART, [(arcs["bed_front"], y), (arcs["bed_back"], y)], (34, 34, 36), 0.04)
    if body.kind not in {"truck", "bus"}:
        lid = {"sedan": "trunk", "pickup": "bed_gate"}.get(body.kind, "tailgate")
        start = glass_end + 0.03
        if _has_hatch(work):
            start = arcs["roof_end"] + 0.01
        elif body.has_bed:
            start = deck - 0.06
        gaps = (0.17,) * 4 if body.has_bed else (0.1, 0.08, 0.1, 0.14)
        stations = (start, deck, tail, top)
        shape = _mirrored(
            [
                (s, work.half_width(min(s, tail)) - gap)
                for s, gap in zip(stations, gaps, strict=True)
            ]
        )
        atlas.polygon(_CHART, shape, part=PART_ID[lid])
        atlas.line(_CHART, shape, work.seam, 0.018, closed=True)
    atlas.rect(_CHART, (top, end), (-half, half), part=PART_ID["back_bumper"])
    atlas.line(_CHART, [(top, -half), (top, half)], work.seam, 0.018)
    lower = 0.5 * (arcs["back_bumper"] + arcs["back_lip"])
    trim = np.asarray(work.colors["trim"]) * 0.8
    atlas.rect(_CHART, (lower, end), (-half, half), color=trim)


def _rear_window(work: Workpiece) -> None:
    body, arcs = work.body, work.outline.corner_arc
    if body.panelled and work.rng.random() < 0.5:
        return
    upper = arcs["roof_end"] + (0.08 if _has_hatch(work) else 0.05)
    lower = arcs["glass_end"] - 0.05
    if body.kind == "bus":
        lower = arcs["roof_end"] + 0.65 * (arcs["glass_end"] - arcs["roof_end"])
    inset = (0.14, 0.16) if body.kind == "van" else (0.09, 0.13)
    _screen(work, "rear_window", (lower, upper), inset)


def _tail_lights(work: Workpiece) -> None:
    body, atlas = work.body, work.atlas
    low, high = (_arc_at_height(work, z) for z in tail_light_heights(body))
    reach = {"sedan": 0.34, "hatchback": 0.2, "suv": 0.22, "bus": 0.2, "truck": 0.3}.get(
        body.kind, 0.13
    )
    edge, middle = work.half_width(work.outline.corner_arc["tail"]), 0.5 * (low + high)
    shape = np.array(
        [(high, edge + 0.1), (low, edge + 0.1), (low, edge - reach * 0.8), (high, edge - reach)]
    )
    glow = np.array(
        [
            (middle, edge),
            (low - 0.03, edge),
            (low - 0.03, edge - reach * 0.6),
            (middle, edge - reach * 0.6),
        ]
    )
    tone = (220, 96, 60) if work.rng.random() < 0.5 else (226, 218, 210)
    for sign, side in _SIDES:
        part = PART_ID[f"{side}_tail_light"]
        atlas.polygon(_CHART, shape * (1, sign), part=part, color=(175, 16, 20), material=LAMP)
        atlas.polygon(_CHART, glow * (1, sign), color=tone)
        atlas.line(_CHART, shape * (1, sign), (60, 8, 10), 0.02, closed=True)


def _back_plate(work: Workpiece) -> None:
    tail, top = work.outline.corner_arc["tail"], _bumper_top(work)
    low = work.body.kind in {"truck", "bus", "pickup"} or work.rng.random() < 0.2
    where = top + 0.16 if low else 0.5 * (tail + top) - 0.03
    work.plate("bumper_plate" if low else "trunk_plate", where, front=False)
    if work.body.kind not in {"truck", "bus"}:
        badge = (where - (0.32 if low else 0.2), 0.0)
        work.atlas.disc(_CHART, badge, 0.05, color=(205, 208, 212))
