"""What is around the vehicles: ground with markings and shadows, sky, buildings, walls, trees."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sav.synthetic.camera import Camera
from sav.synthetic.shading import Lighting

PLACES: tuple[str, ...] = ("street", "lot", "garage", "field", "studio", "noise")
_PLACE_SHARES = (0.3, 0.24, 0.16, 0.14, 0.08, 0.08)
_TILE = 320
_TILE_METRES = 32.0


@dataclass(frozen=True, eq=False)
class Place:
    """Where a scene is: one of PLACES, and the RGB colour (0-255) of its ground."""

    kind: str
    ground: np.ndarray


@dataclass(frozen=True, eq=False)
class View:
    """A place as the camera sees it; `size` is the side of the picture in pixels."""

    place: Place
    camera: Camera
    size: int
    lighting: Lighting


def sample_place(rng: np.random.Generator) -> Place:
    """A random place."""
    kind = str(rng.choice(PLACES, p=_PLACE_SHARES))
    if kind == "field":
        options = ((96, 116, 62), (126, 110, 80), (150, 140, 112), (214, 218, 224))
        ground = np.array(options[rng.integers(len(options))], float)
    elif kind in {"studio", "noise"}:
        ground = np.full(3, rng.uniform(70, 235)) + rng.uniform(-14, 14, 3)
    else:
        ground = np.full(3, rng.uniform(78, 150)) + rng.uniform(-6, 6, 3)
    return Place(kind, ground * rng.uniform(0.88, 1.08))


def paint_backdrop(
    rng: np.random.Generator, view: View, footprints: list[tuple[np.ndarray, float]]
) -> np.ndarray:
    """Everything behind the vehicles, (size, size, 3) uint8 RGB.

    Args:
        rng: source of all randomness.
        view: what is seen from where.
        footprints: for each vehicle the corners (4, 2) of its outline on the ground and its height.
    """
    place, camera, size, lighting = view.place, view.camera, view.size, view.lighting
    axis = np.arange(size, dtype=np.float32) + 0.5
    up = camera.rotation[:, 2]
    rise = (
        (up[0] * (axis - camera.center[0]) / camera.focal)[None]
        + (up[1] * (axis - camera.center[1]) / camera.focal)[:, None]
        + up[2]
    ).astype(np.float32)
    far = lighting.horizon if place.kind not in {"studio", "noise"} else place.ground * 1.02
    ground = _ground(rng, view, footprints)
    haze = np.exp(np.minimum(rise, 0) * (9.0 if place.kind != "studio" else 3.0))[..., None] * 0.8
    ground += (far.astype(np.float32) - ground) * haze
    canvas = np.where(rise[..., None] > 0, _sky(rng, place, rise, lighting, far), ground)
    canvas = np.clip(canvas, 0, 255).astype(np.uint8)
    if place.kind in {"street", "lot"}:
        _buildings(rng, canvas, camera, lighting)
        _trees(rng, canvas, camera, lighting, int(rng.integers(0, 6)))
    elif place.kind == "garage":
        _wall(rng, canvas, camera, lighting)
    elif place.kind == "field":
        _trees(rng, canvas, camera, lighting, int(rng.integers(4, 16)))
    elif place.kind == "noise":
        cells = int(rng.integers(4, 24))
        texture = rng.integers(40, 210, (cells, cells, 1)) + rng.integers(
            -40, 41, (cells, cells, 3)
        )
        texture = texture.astype(np.uint8)
        texture = cv2.resize(texture, (size, size), interpolation=cv2.INTER_CUBIC)
        share = 0.7 / (1 + np.exp(-(rise + 0.06) * 40))[..., None]
        canvas = (canvas * (1 - share) + texture * share).astype(np.uint8)
    return canvas


def _smooth_noise(rng: np.random.Generator, cells: int, size: int) -> np.ndarray:
    noise = rng.standard_normal((cells, cells)).astype(np.float32)
    return cv2.resize(noise, (size, size), interpolation=cv2.INTER_LINEAR)


def _sky(
    rng: np.random.Generator,
    place: Place,
    rise: np.ndarray,
    lighting: Lighting,
    far: np.ndarray,
) -> np.ndarray:
    share = np.clip(rise / 0.55, 0, 1)[..., None]
    top = lighting.sky if place.kind not in {"studio", "noise"} else far * 0.9
    sky = far.astype(np.float32) * (1 - share) + top.astype(np.float32) * share
    if place.kind in {"street", "lot", "field"}:
        clouds = _smooth_noise(rng, 6, rise.shape[0]) + 0.5 * _smooth_noise(rng, 14, rise.shape[0])
        veil = np.clip(clouds - rng.uniform(0, 1), 0, 1)[..., None] * 0.6
        sky = sky * (1 - veil) + 238 * veil
    return sky


def _ground(
    rng: np.random.Generator, view: View, footprints: list[tuple[np.ndarray, float]]
) -> np.ndarray:
    """The ground plane (size, size, 3) float32 with markings and shadows."""
    place, size, lighting = view.place, view.size, view.lighting
    rough = 0.03 if place.kind == "studio" else rng.uniform(0.03, 0.08)
    value = 1 + rough * (
        _smooth_noise(rng, 9, _TILE)
        + _smooth_noise(rng, 40, _TILE)
        + 0.7 * _smooth_noise(rng, 160, _TILE)
    )
    tile = np.clip(place.ground.astype(np.float32) * value[..., None], 0, 255).astype(np.uint8)
    scale = _TILE / _TILE_METRES
    if place.kind in {"street", "lot", "garage"}:
        _markings(rng, tile, place, scale)
    to_ground = np.array(
        [[1 / scale, 0, -_TILE_METRES / 2], [0, 1 / scale, -_TILE_METRES / 2], [0, 0, 1.0]]
    )
    seen = view.camera.ground_homography() @ to_ground
    ground = cv2.warpPerspective(
        tile, seen, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    shadow = np.full((_TILE, _TILE), 255, np.uint8)
    for corners, height in footprints:
        _cast(shadow, corners, height, lighting, scale)
    shadow = cv2.warpPerspective(
        shadow,
        seen,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=255,
    )
    lit = lighting.ambient + lighting.strength * lighting.sun[2]
    return ground * (shadow[..., None] * np.float32(lit / 255))


def _cast(
    shadow: np.ndarray, corners: np.ndarray, height: float, lighting: Lighting, scale: float
) -> None:
    """Darken the ground under and beside a vehicle."""

    def fixed(points: np.ndarray) -> np.ndarray:
        return np.round((points + _TILE_METRES / 2) * scale * 16).astype(np.int32)

    layer = np.full_like(shadow, 255)
    center = corners.mean(0)
    inner = center + (corners - center) * 0.86
    if lighting.strength > 0.25:
        away = -lighting.sun[:2] / lighting.sun[2] * height
        hull = cv2.convexHull(
            np.concatenate([corners, inner * 0.9 + center * 0.1 + away]).astype(np.float32)
        )[:, 0]
        cv2.fillConvexPoly(layer, fixed(hull), 120, cv2.LINE_AA, 4)
    layer = cv2.GaussianBlur(layer, (0, 0), 1.2)
    under = np.full_like(shadow, 255)
    cv2.fillConvexPoly(under, fixed(center + (corners - center) * 1.04), 70, cv2.LINE_AA, 4)
    cv2.fillConvexPoly(under, fixed(inner), 30, cv2.LINE_AA, 4)
    under = cv2.GaussianBlur(under, (0, 0), 2.2)
    np.minimum(shadow, np.minimum(layer, under), out=shadow)


def _markings(rng: np.random.Generator, tile: np.ndarray, place: Place, scale: float) -> None:
    """Lane lines, bays or slab joints."""
    paint = tuple(float(c) for c in np.array((225, 224, 214)) * rng.uniform(0.8, 1.0))
    middle = _TILE / 2
    if place.kind == "street":
        if rng.random() < 0.3:
            paint = (214.0, 176.0, 60.0)
        for y in (middle - 1.9 * scale, middle + 2.2 * scale):
            cv2.line(tile, (0, int(y)), (_TILE, int(y)), paint, 2, cv2.LINE_AA)
        kerb = int(middle - rng.uniform(4, 7) * scale)
        if kerb > 0:
            tile[:kerb] = np.clip(tile[:kerb].astype(np.float32) * 1.25, 0, 255).astype(np.uint8)
            cv2.line(tile, (0, kerb), (_TILE, kerb), (190, 190, 186), 3)
    elif place.kind == "lot":
        pitch = 2.7 * scale
        for k in range(-6, 7):
            y = int(middle + (k + 0.5) * pitch)
            cv2.line(
                tile,
                (int(middle - 2.9 * scale), y),
                (int(middle + 2.6 * scale), y),
                paint,
                2,
                cv2.LINE_AA,
            )
    else:
        joint = tuple(float(c) * 0.7 for c in place.ground)
        for k in range(0, _TILE, int(4 * scale)):
            cv2.line(tile, (k, 0), (k, _TILE), joint, 1)
            cv2.line(tile, (0, k), (_TILE, k), joint, 1)


def _uprights(
    camera: Camera, distance: np.ndarray, across: np.ndarray, heights: np.ndarray
) -> np.ndarray:
    """Corners (N, 4, 2) in 1/16 pixels of upright rectangles that face the camera.

    Args:
        camera: of the picture.
        distance: (N,) metres ahead of the camera, over ground.
        across: (2, N) metres to the right of the view, left and right edge.
        heights: (2, N) metres above the ground, lower and upper edge.
    """
    ahead = camera.rotation[2] * (1, 1, 0)
    ahead = ahead / np.linalg.norm(ahead)
    right = np.array([ahead[1], -ahead[0], 0.0])
    foot = camera.position * (1, 1, 0) + distance[:, None] * ahead
    corners = [
        foot + side[:, None] * right + z[:, None] * np.array([0, 0, 1.0])
        for side, z in zip(across[[0, 1, 1, 0]], heights[[0, 0, 1, 1]], strict=True)
    ]
    pixels, _ = camera.project(np.stack(corners, 1))
    return np.round(np.clip(pixels, -8000, 8000) * 16).astype(np.int32)


def _buildings(
    rng: np.random.Generator, canvas: np.ndarray, camera: Camera, lighting: Lighting
) -> None:
    count = int(rng.integers(2, 7))
    distance = np.sort(rng.uniform(22, 60, count))[::-1]
    reach = 0.5 * canvas.shape[0] / camera.focal * distance
    left = rng.uniform(-1.3, 1.0, count) * reach
    right = left + rng.uniform(6, 18, count)
    height = rng.uniform(4, 22, count)
    edges = np.stack([left, right])
    walls = _uprights(camera, distance, edges, np.stack([np.zeros(count), height]))
    for i in range(count):
        color = rng.uniform(90, 215) * (lighting.ambient + 0.25) + rng.uniform(-14, 14, 3)
        cv2.fillConvexPoly(canvas, walls[i], color.tolist(), cv2.LINE_AA, 4)
        columns, floors = int((right[i] - left[i]) / 3), int(height[i] / 3.2)
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(floors)), -1).reshape(-1, 2)
        a = left[i] + 0.8 + 3.0 * grid[:, 0]
        z = 1.0 + 3.2 * grid[:, 1]
        size = np.array([[0.0], [1.5]])
        panes = _uprights(camera, np.full(len(a), distance[i]), a + size, z + size)
        glass = (color * rng.uniform(0.4, 0.7)).tolist()
        for pane in panes:
            cv2.fillConvexPoly(canvas, pane, glass, shift=4)


def _wall(rng: np.random.Generator, canvas: np.ndarray, camera: Camera, lighting: Lighting) -> None:
    """A garage or yard wall behind the vehicles, with bands, pillars and lamps."""
    gap = float(np.linalg.norm(camera.position[:2])) + rng.uniform(3.5, 8)
    height = rng.uniform(2.8, 6.0)
    color = np.full(3, rng.uniform(110, 215)) + rng.uniform(-22, 22, 3)
    color = color * (lighting.ambient + 0.2)

    def draw(left: float, right: float, low: float, high: float, rgb: np.ndarray) -> None:
        edges, heights = np.array([[left], [right]]), np.array([[low], [high]])
        shape = _uprights(camera, np.array([gap]), edges, heights)[0]
        cv2.fillConvexPoly(canvas, shape, np.clip(rgb, 0, 255).tolist(), cv2.LINE_AA, 4)

    draw(-40, 40, 0, height, color)
    if rng.random() < 0.5:
        draw(-40, 40, 0, rng.uniform(0.5, 1.2), color * rng.uniform(0.5, 0.85))
    style = rng.integers(3)
    if style == 0:
        for row in np.arange(0.4, height, 0.4):
            draw(-40, 40, row, row + 0.03, color * 0.86)
    elif style == 1:
        for a in np.arange(-18, 18, rng.uniform(3, 5)):
            draw(a, a + 0.5, 0, height, color * 0.75)
    else:
        for a in np.arange(-18, 18, 4.5):
            draw(a, a + 3.4, 0, height * 0.75, color * rng.uniform(0.6, 1.15))
    for a in np.arange(-15, 15, 5):
        draw(a, a + 1.6, height - 0.4, height - 0.3, np.full(3, 250.0))


def _trees(
    rng: np.random.Generator, canvas: np.ndarray, camera: Camera, lighting: Lighting, count: int
) -> None:
    distance = np.sort(rng.uniform(16, 50, count))[::-1]
    reach = 0.5 * canvas.shape[0] / camera.focal * distance
    side = rng.uniform(-1.2, 1.2, count) * reach
    height = rng.uniform(2.5, 9, count)
    edges = side + np.array([[-0.15], [0.15]])
    trunks = _uprights(camera, distance, edges, np.stack([np.zeros(count), height]))
    for i in range(count):
        cv2.fillConvexPoly(canvas, trunks[i], (70, 56, 44), cv2.LINE_AA, 4)
        top, tall = trunks[i, 2:].mean(0) / 16, abs(trunks[i, 3, 1] - trunks[i, 0, 1]) / 16
        leaf = np.array((58, 88, 42)) * rng.uniform(0.6, 1.3) * (lighting.ambient + 0.3)
        for _ in range(12):
            spot = top + (rng.normal(0, 0.16, 2) + np.array((0, 0.1))) * tall
            shade = (leaf * rng.uniform(0.7, 1.25)).tolist()
            radius = min(max(2, int(tall * rng.uniform(0.06, 0.2))), 400)
            cv2.circle(canvas, (int(spot[0]), int(spot[1])), radius, shade, -1, cv2.LINE_AA)
