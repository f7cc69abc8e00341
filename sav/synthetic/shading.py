"""Light: what a surface's colour, material and direction make of sun, sky and ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sav.synthetic.atlas import Atlas
from sav.synthetic.camera import Camera
from sav.synthetic.mesh import Mesh

# For each material (paint, glass, matte, chrome, lamp): share of the surface's own colour, of
# the mirrored surroundings, and of the sun's highlight.
_DIFFUSE = np.array((0.92, 0.55, 0.85, 0.7, 0.85), np.float32)
_MIRROR = np.array((0.20, 0.46, 0.03, 0.38, 0.26), np.float32)
_SPARK = np.array((150.0, 200.0, 8.0, 160.0, 160.0), np.float32)


@dataclass(frozen=True, eq=False)
class Lighting:
    """Light of a scene.

    Attributes:
        sun: (3,) unit vector towards the sun.
        strength: of the sun; 0 is overcast.
        ambient: light from everywhere.
        sky: RGB (0-255) overhead.
        horizon: RGB just above the horizon.
        ground: RGB of the ground.
    """

    sun: np.ndarray
    strength: float
    ambient: float
    sky: np.ndarray
    horizon: np.ndarray
    ground: np.ndarray

    def surroundings(self) -> np.ndarray:
        """(256, 3) float32 RGB mirrored by a ray of vertical direction -1 (row 0) to 1."""
        height = np.linspace(-1, 1, 256)
        knots = (-1.0, -0.12, -0.02, 0.03, 0.25, 1.0)
        colors = np.stack(
            [
                self.ground * 0.45,
                self.ground * 0.75,
                self.ground * 0.5,
                self.horizon * 1.08,
                0.5 * (self.horizon + self.sky),
                self.sky,
            ]
        )
        columns = [np.interp(height, knots, colors[:, c]) for c in range(3)]
        return np.stack(columns, 1).astype(np.float32)


def sample_lighting(rng: np.random.Generator, ground: np.ndarray, *, indoor: bool) -> Lighting:
    """Random light over a ground (3,) RGB; indoors it comes from above and is soft."""
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 1.2)
    if indoor:
        height = 1.35
    sun = np.array(
        [np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)]
    )
    strength = rng.uniform(0.05, 0.2) if indoor or rng.random() < 0.35 else rng.uniform(0.3, 0.62)
    tint = rng.uniform(0.9, 1.0)
    if indoor:
        sky = np.array((150, 148, 142)) * rng.uniform(0.6, 1.2)
        horizon = sky * 1.1
    elif strength < 0.25:
        sky = np.array((196, 200, 206)) * tint
        horizon = np.array((222, 224, 226)) * tint
    else:
        sky = np.array((90, 140, 205)) * tint + rng.uniform(-15, 15)
        horizon = np.array((208, 220, 232)) * tint
    return Lighting(sun, strength, rng.uniform(0.6, 0.8), sky, horizon, ground)


def light_corners(
    mesh: Mesh, to_world: tuple[np.ndarray, np.ndarray], camera: Camera, lighting: Lighting
) -> tuple[np.ndarray, np.ndarray]:
    """Place a mesh in the world and compute what its corners see.

    Args:
        mesh: of one vehicle.
        to_world: rotation (3, 3) and translation (3,).
        camera: its position is all that matters.
        lighting: of the scene.

    Returns:
        quads: (F, 4, 3) world corners;
        attributes: (F, 4, 5) texel column and row, light, height of the mirrored ray, closeness
            of the mirrored ray to the sun.
    """
    rotation, translation = to_world
    quads = mesh.quads @ rotation.T + translation
    normals = mesh.normals @ rotation.T
    view = quads - camera.position
    view /= np.linalg.norm(view, axis=-1, keepdims=True)
    mirrored = view - 2 * (view * normals).sum(-1, keepdims=True) * normals
    facing_sun = np.maximum(normals @ lighting.sun, 0.0)
    light = lighting.ambient * (0.72 + 0.28 * normals[..., 2]) + lighting.strength * facing_sun
    attributes = [
        mesh.texels,
        light[..., None],
        mirrored[..., 2:],
        (mirrored @ lighting.sun)[..., None],
    ]
    return quads, np.concatenate(attributes, 2)


def shade(
    atlas: Atlas, values: np.ndarray, lighting: Lighting, around: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colour and part of pixels.

    Args:
        atlas: of the vehicle that the pixels show.
        values: (P, 5) float32 as :func:`light_corners` names them.
        lighting: of the scene.
        around: (256, 3) float32 from :meth:`Lighting.surroundings`.

    Returns:
        colors: (P, 3) uint8 RGB; parts: (P,) uint8 part values.
    """
    height, width = atlas.part.shape
    column = np.clip(values[:, 0], 0, width - 1).astype(np.int32)
    row = np.clip(values[:, 1], 0, height - 1).astype(np.int32)
    index = row * width + column
    material = atlas.material.ravel().take(index)
    ray = np.clip(values[:, 3] * 127.5 + 127.5, 0, 255).astype(np.uint8)
    spark = np.maximum(values[:, 4], 0.0)
    for _ in range(5):  # to the power of 32
        spark *= spark
    color = atlas.color.reshape(-1, 3).take(index, axis=0).astype(np.float32)
    color *= (values[:, 2] * _DIFFUSE.take(material))[:, None]
    color += around.take(ray, axis=0) * _MIRROR.take(material)[:, None]
    color += (spark * _SPARK.take(material) * np.float32(lighting.strength))[:, None]
    np.clip(color, 0, 255, out=color)
    return color.astype(np.uint8), atlas.part.ravel().take(index)
