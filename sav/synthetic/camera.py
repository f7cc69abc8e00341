"""A pinhole camera and the z-buffer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

_NEAR = 0.3  # metres
_MIN_THICKNESS = 0.25  # pixels


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera.

    Attributes:
        position: (3,) in world metres.
        rotation: (3, 3) rows are the camera's right, down and forward directions in the world.
        focal: in pixels.
        center: principal point x, y in pixels (pixel i covers i to i + 1).
    """

    position: np.ndarray
    rotation: np.ndarray
    focal: float
    center: tuple[float, float]

    @classmethod
    def looking_at(
        cls,
        target: np.ndarray,
        *,
        azimuth: float,
        elevation: float,
        distance: float,
        roll: float = 0.0,
    ) -> Camera:
        """A camera with focal length 1 that looks at a point.

        Args:
            target: (3,) world metres.
            azimuth: radians around the vertical; 0 stands on the +x side (in front of a vehicle
                that is not turned), pi / 2 on the +y side (at its left).
            elevation: radians above the horizon, as seen from the target.
            distance: metres to the target.
            roll: radians clockwise.
        """
        flat = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
        out = np.cos(elevation) * flat + np.array([0.0, 0.0, np.sin(elevation)])
        right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
        down = np.cross(-out, right)
        turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        right, down = turn @ np.stack([right, down])
        return cls(target + distance * out, np.stack([right, down, -out]), 1.0, (0.0, 0.0))

    def framed(self, focal: float, center: tuple[float, float]) -> Camera:
        """The same view with another focal length and principal point, both in pixels."""
        return replace(self, focal=focal, center=center)

    def scaled(self, factor: float) -> Camera:
        """The same picture with `factor` times as many pixels a side."""
        return self.framed(self.focal * factor, (self.center[0] * factor, self.center[1] * factor))

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (..., 2) and depths (...) in metres of world points (..., 3)."""
        local = (points - self.position) @ self.rotation.T
        depth = np.maximum(local[..., 2], 1e-6)
        return local[..., :2] * (self.focal / depth)[..., None] + self.center, local[..., 2]

    def ground_homography(self) -> np.ndarray:
        """(3, 3) matrix that takes ground points (x, y, 1) to homogeneous pixels."""
        axes = np.column_stack([[1.0, 0, 0], [0, 1.0, 0], -self.position])
        intrinsics = np.array(
            [[self.focal, 0, self.center[0]], [0, self.focal, self.center[1]], [0, 0, 1.0]]
        )
        return intrinsics @ self.rotation @ axes


def rasterize(
    quads: np.ndarray, attributes: np.ndarray, camera: Camera, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw quads with a z-buffer.

    The inverse depth of a plane is affine in the pixel coordinates, and so is every attribute
    divided by the depth: each face needs one small matrix, and a pixel one product.

    Args:
        quads: (F, 4, 3) world corners, counter-clockwise seen from outside; a triangle repeats a
            corner. Faces seen from behind, or that reach behind the camera, are left out.
        attributes: (F, 4, A) values at the corners.
        camera: of the full picture.
        size: side of the picture in pixels.

    Returns:
        pixels: (P,) int64 flat indices of the pixels that show a face;
        faces: (P,) int32 index of the visible face;
        values: (P, A) float32 perspective-correct attributes there.
    """
    points, depth = camera.project(quads)
    low = np.floor(points.min(1) - 0.5).astype(int)
    high = np.ceil(points.max(1) + 0.5).astype(int) + 1
    low, high = np.clip(low, 0, size), np.clip(high, 0, size)
    diagonals = points[:, 2:] - points[:, :2]
    area = diagonals[:, 0, 1] * diagonals[:, 1, 0] - diagonals[:, 0, 0] * diagonals[:, 1, 1]
    # Slivers would be as wide as their outline, which is wider than they are.
    thick = area > 2 * _MIN_THICKNESS * np.abs(diagonals).max((1, 2))
    chosen = np.flatnonzero(thick & (depth.min(1) > _NEAR) & (high > low).all(1))
    points, inverse = points[chosen], 1.0 / depth[chosen]
    scaled = np.concatenate([inverse[..., None], attributes[chosen] * inverse[..., None]], 2)
    planes = _fit_planes(points, scaled)

    buffer = np.zeros((size, size), np.float32)
    owner = np.full((size, size), -1, np.int32)
    fixed = np.round((points - 0.5 - low[chosen, None]) * 16).astype(np.int32)
    axis = np.arange(size, dtype=np.float32) + np.float32(0.5)
    slopes = planes[:, :, 0].astype(np.float32)
    nearest = inverse.max(1).astype(np.float32)
    boxes = np.concatenate([low[chosen], high[chosen]], 1).tolist()
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillConvexPoly(mask, fixed[index], 1, shift=4)
        slope_x, slope_y, offset = slopes[index]
        near = (slope_x * axis[x0:x1] + offset) + (slope_y * axis[y0:y1])[:, None]
        np.minimum(near, nearest[index], out=near)  # an edge pixel is no nearer than the face
        seen = near > buffer[y0:y1, x0:x1]
        seen &= mask.view(bool)
        np.copyto(buffer[y0:y1, x0:x1], near, where=seen)
        np.copyto(owner[y0:y1, x0:x1], index, where=seen)

    pixels = np.flatnonzero(owner.ravel() >= 0)
    shown = owner.ravel()[pixels]
    x, y = axis[pixels % size], axis[pixels // size]
    depths = np.float32(1.0) / buffer.ravel()[pixels]
    values = np.empty((len(pixels), attributes.shape[2]), np.float32)
    for column in range(attributes.shape[2]):
        plane = planes[:, :, column + 1].astype(np.float32)
        value = plane[:, 0].take(shown) * x
        value += plane[:, 1].take(shown) * y
        value += plane[:, 2].take(shown)
        values[:, column] = value * depths
    return pixels, chosen.astype(np.int32).take(shown), values


def _fit_planes(points: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least-squares planes (F, 3, A) through values (F, 4, A) at points (F, 4, 2).

    A small ridge keeps the slopes of slivers finite: without it a face seen edge-on would reach
    through its neighbours at the pixels that its outline touches.
    """
    center = points.mean(1, keepdims=True)
    offset = points - center
    gram = np.einsum("fki,fkj->fij", offset, offset) + 0.25 * np.eye(2)
    mean = values.mean(1, keepdims=True)
    slopes = np.linalg.solve(gram, np.einsum("fki,fka->fia", offset, values - mean))
    constant = mean - np.einsum("fki,fia->fka", center, slopes)
    return np.concatenate([slopes, constant], 1)
