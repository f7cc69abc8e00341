"""Puts vehicles, camera, light and surroundings together and renders one labelled image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sav.synthetic.atlas import Atlas
from sav.synthetic.backdrop import View, paint_backdrop, sample_place
from sav.synthetic.bodies import BODY_TYPES, Body, sample_body
from sav.synthetic.camera import Camera, rasterize
from sav.synthetic.mesh import Mesh, build_mesh, trace_outline
from sav.synthetic.occluders import paint_occluder
from sav.synthetic.paint import Workpiece, blank_atlas, paint_wheels, sample_colors
from sav.synthetic.paint_ribbon import paint_ribbon
from sav.synthetic.paint_sides import paint_sides
from sav.synthetic.parts import NUM_PART_VALUES
from sav.synthetic.photo import develop
from sav.synthetic.shading import Lighting, light_corners, sample_lighting, shade

_SUPERSAMPLE = 2
# Not every vehicle that is drawn finds a place: images have 1, 2, 3 in about 82, 13, 5 %.
_VEHICLE_COUNT_SHARES = (0.80, 0.115, 0.085)
_OCCLUDED_SHARE = 0.22
_TRUNCATED_SHARE = 0.14


@dataclass(frozen=True, eq=False)
class Vehicle:
    """One vehicle in the world.

    Attributes:
        body: its shape.
        mesh: its quads.
        atlas: its painted surface.
        position: (2,) of its centre on the ground, metres.
        yaw: radians; 0 faces world +x.
    """

    body: Body
    mesh: Mesh
    atlas: Atlas
    position: np.ndarray
    yaw: float

    @property
    def to_world(self) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3) and translation (3,)."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        return rotation, np.array([*self.position, 0.0])

    def extent(self) -> np.ndarray:
        """(N, 3) world points whose hull is about the vehicle."""
        rotation, translation = self.to_world
        return self.mesh.quads[:, ::2].reshape(-1, 3) @ rotation.T + translation

    def footprint(self) -> np.ndarray:
        """(4, 2) corners on the ground."""
        x, y = self.body.middle[[0, -1], 0], self.body.half_width
        local = np.array([(x[0], y), (x[0], -y), (x[1], -y), (x[1], y)])
        rotation, translation = self.to_world
        return local @ rotation[:2, :2].T + translation[:2]


@dataclass(frozen=True, eq=False)
class Scene:
    """A rendered image and its labels.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        part_map: (H, W) uint8 fine part values (index in FINE_PARTS + 1), 0 is background.
        vehicle_map: (H, W) uint8, 1 for the first vehicle, 0 is background.
        metadata: "place", "azimuth" and "elevation" in degrees (azimuth 0 sees the first
            vehicle's front, 90 its left side), and "vehicles": one dict with "body_type" each.
    """

    image: np.ndarray
    part_map: np.ndarray
    vehicle_map: np.ndarray
    metadata: dict[str, Any]

    @property
    def instance_map(self) -> np.ndarray:
        """(H, W) uint16; one value for each fine part of each vehicle, 0 is background."""
        return _encode(self.part_map, self.vehicle_map)


def _encode(parts: np.ndarray, vehicles: np.ndarray) -> np.ndarray:
    return parts + (vehicles.astype(np.uint16) - (vehicles > 0)) * np.uint16(NUM_PART_VALUES)


def make_vehicle(
    rng: np.random.Generator,
    kinds: Sequence[str] = BODY_TYPES,
    position: tuple[float, float] = (0.0, 0.0),
    yaw: float = 0.0,
) -> Vehicle:
    """A random vehicle of one of several types at a place on the ground."""
    body = sample_body(rng, kinds)
    colors = sample_colors(rng)
    outline = trace_outline(body)
    atlas = blank_atlas(body, outline)
    work = Workpiece(body, outline, atlas, colors, rng)
    paint_ribbon(work)
    paint_sides(work)
    paint_wheels(work)
    return Vehicle(body, build_mesh(body, outline, atlas, colors), atlas, np.array(position), yaw)


def render_vehicles(
    vehicles: list[Vehicle], camera: Camera, size: int, lighting: Lighting
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours and labels of vehicles alone.

    Args:
        vehicles: on the ground; there may be none.
        camera: which sees them.
        size: side of the picture in pixels.
        lighting: of the place.

    Returns:
        color: (size, size, 3) uint8 RGB, black where there is no vehicle;
        parts: (size, size) uint8; vehicle_ids: (size, size) uint8 from 1.
    """
    color = np.zeros((size, size, 3), np.uint8)
    parts = np.zeros((size, size), np.uint8)
    ids = np.zeros((size, size), np.uint8)
    if not vehicles:
        return color, parts, ids
    lit = [light_corners(v.mesh, v.to_world, camera, lighting) for v in vehicles]
    quads = np.concatenate([quad for quad, _ in lit])
    attributes = np.concatenate([values for _, values in lit])
    pixels, faces, values = rasterize(quads, attributes, camera, size)
    around = lighting.surroundings()
    first = 0
    for index, vehicle in enumerate(vehicles):
        last = first + len(vehicle.mesh.quads)
        mine = slice(None) if len(vehicles) == 1 else (faces >= first) & (faces < last)
        where = np.divmod(pixels[mine], size)
        color[where], parts[where] = shade(vehicle.atlas, values[mine], lighting, around)
        ids[where] = index + 1
        first = last
    return color, parts, ids


def render_scene(
    rng: np.random.Generator,
    image_size: int = 256,
    *,
    body_types: Sequence[str] = BODY_TYPES,
    azimuth: float | None = None,
) -> Scene:
    """Render one random scene.

    Args:
        rng: source of all randomness.
        image_size: side of the square image in pixels.
        body_types: types that occur, of BODY_TYPES; none for a scene without vehicles.
        azimuth: degrees from which the first vehicle is seen (0 front, 90 its left side); None
            draws it.
    """
    place = sample_place(rng)
    lighting = sample_lighting(rng, place.ground, indoor=place.kind == "garage")
    angle = rng.uniform(0, 360) if azimuth is None else azimuth
    arranged, camera = _arrange(rng, image_size, body_types or BODY_TYPES, np.deg2rad(angle))
    vehicles = arranged if body_types else []
    footprints = [(v.footprint(), v.body.height) for v in vehicles]
    view = View(place, camera, image_size, lighting)
    backdrop = paint_backdrop(rng, view, footprints)

    large = image_size * _SUPERSAMPLE
    large_camera = camera.scaled(_SUPERSAMPLE)
    color, parts, ids = render_vehicles(vehicles, large_camera, large, lighting)
    codes = _encode(parts, ids)
    cover = np.where(ids > 0, np.uint8(255), np.uint8(0))
    if rng.random() < _OCCLUDED_SHARE:
        hidden = np.zeros((large, large), np.uint8)
        light = lighting.ambient + 0.5 * lighting.strength + 0.15
        for _ in range(int(rng.integers(1, 3))):
            foot = _occluder_spot(rng, camera, arranged[0])
            paint_occluder(rng, color, hidden, large_camera, foot=foot, light=light)
        codes[hidden > 0] = 0
        cover |= hidden
    codes = _majority(codes)
    share = cv2.resize(cover, (image_size, image_size), interpolation=cv2.INTER_AREA)
    small = cv2.resize(color, (image_size, image_size), interpolation=cv2.INTER_AREA)
    rest = backdrop * ((255 - share).astype(np.float32) / 255)[..., None]
    image = develop(rng, np.clip(small + rest, 0, 255).astype(np.uint8))
    ids = np.where(codes > 0, (codes - 1) // (NUM_PART_VALUES) + 1, 0).astype(np.uint8)
    part_map = (codes - (np.maximum(ids, 1) - 1) * np.uint16(NUM_PART_VALUES)).astype(np.uint8)
    metadata = {
        "place": place.kind,
        "azimuth": float(angle),
        "elevation": float(np.rad2deg(np.arcsin(-camera.rotation[2, 2]))),
        "vehicles": [{"body_type": v.body.kind} for v in vehicles],
    }
    return Scene(image, part_map, ids, metadata)


def _majority(codes: np.ndarray) -> np.ndarray:
    """Most frequent value of each 2 x 2 block."""
    a, b, c, d = codes[::2, ::2], codes[::2, 1::2], codes[1::2, ::2], codes[1::2, 1::2]
    rest = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
    return np.where((a == b) | (a == c) | (a == d), a, rest)


def _arrange(
    rng: np.random.Generator, size: int, body_types: Sequence[str], azimuth: float
) -> tuple[list[Vehicle], Camera]:
    """Choose vehicles, and a camera that has them in the frame."""
    first = make_vehicle(rng, body_types)
    count = 1 + int(rng.choice(3, p=_VEHICLE_COUNT_SHARES))
    low = rng.random() < 0.6
    elevation = np.deg2rad(rng.uniform(2, 12) if low else rng.uniform(12, 30))
    distance = first.body.length * rng.uniform(1.3, 2.6) + 1.5
    camera = Camera.looking_at(
        np.array([0, 0, 0.45 * first.body.height]),
        azimuth=azimuth,
        elevation=elevation,
        distance=distance,
        roll=np.deg2rad(rng.normal(0, 1.8)),
    )
    vehicles, boxes = [first], [_bounds(camera, first)]
    for _ in range(count - 1):
        other = make_vehicle(rng, body_types)
        for _ in range(16):
            placed = _beside(rng, vehicles, other)
            box = _bounds(camera, placed)
            if _fits(box, boxes, camera, placed):
                vehicles.append(placed)
                boxes.append(box)
                break
    return vehicles, _frame(rng, camera, boxes, size)


def _beside(rng: np.random.Generator, vehicles: list[Vehicle], other: Vehicle) -> Vehicle:
    """`other`, moved to a random spot near the first vehicle."""
    first = vehicles[0].body
    if rng.random() < 0.65:
        gap = first.half_width + other.body.half_width + rng.uniform(0.6, 1.8)
        position = np.array([rng.uniform(-2.5, 2.5), rng.choice((-1, 1)) * gap])
    else:
        gap = (first.length + other.body.length) / 2 + rng.uniform(0.8, 3)
        position = np.array([rng.choice((-1, 1)) * gap, rng.uniform(-2.5, 2.5)])
    yaw = rng.choice((0.0, np.pi)) + rng.normal(0, 0.12)
    return Vehicle(other.body, other.mesh, other.atlas, position, float(yaw))


def _bounds(camera: Camera, vehicle: Vehicle) -> np.ndarray:
    """Box x0, y0, x1, y1 of a vehicle in the picture."""
    pixels, _ = camera.project(vehicle.extent())
    return np.concatenate([pixels.min(0), pixels.max(0)])


def _fits(box: np.ndarray, boxes: list[np.ndarray], camera: Camera, vehicle: Vehicle) -> bool:
    """Whether a further vehicle is large enough, in front of the camera and little hidden."""
    _, depth = camera.project(vehicle.extent())
    if depth.min() < 2.0:
        return False
    main = boxes[0][2] - boxes[0][0]
    union = np.concatenate([np.min([box, *boxes], axis=0)[:2], np.max([box, *boxes], axis=0)[2:]])
    wide = union[2] - union[0]
    crowd = len(boxes) > 1
    least = (0.32, 0.22) if crowd else (0.42, 0.3)
    if main < least[0] * wide or box[2] - box[0] < least[1] * wide:
        return False
    for other in boxes:
        overlap = np.maximum(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0)
        areas = [np.prod(b[2:] - b[:2]) for b in (box, other)]
        if overlap.prod() > 0.4 * min(areas):
            return False
    return True


def _frame(rng: np.random.Generator, camera: Camera, boxes: list[np.ndarray], size: int) -> Camera:
    """Choose focal length and principal point so that the vehicles fill the picture."""
    low, high = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
    extent = high - low
    fill = rng.uniform(0.64, 0.97) if len(boxes) == 1 else rng.uniform(0.85, 1.0)
    focal = min(fill * size / extent[0], 0.92 * size / extent[1])
    slack = size - focal * extent
    if rng.random() < _TRUNCATED_SHARE:
        focal *= rng.uniform(1.1, 1.4)
        slack = size - focal * extent
        corner = slack / 2 + rng.uniform(-0.22, 0.22, 2) * focal * extent
    else:
        corner = slack * rng.uniform((0.04, 0.25), (0.96, 0.75))
    center = corner - focal * low
    return camera.framed(float(focal), (float(center[0]), float(center[1])))


def _occluder_spot(rng: np.random.Generator, camera: Camera, vehicle: Vehicle) -> np.ndarray:
    """A place on the ground between the camera and a vehicle, (3,)."""
    toward = camera.position * (1, 1, 0)
    reach = np.linalg.norm(toward)
    across = np.array([-toward[1], toward[0], 0]) / reach
    clear = 0.5 * vehicle.body.length + 0.6
    along = clear + (reach - clear) * rng.uniform(0.05, 0.4)
    return toward / reach * along + across * rng.uniform(-0.42, 0.42) * vehicle.body.length
