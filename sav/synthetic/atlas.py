"""The painted surface of a vehicle: flat charts in metres that hold part, colour and material."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

PAINT, GLASS, MATTE, CHROME, LAMP = range(5)
"""Materials; what they do with light is in :mod:`sav.synthetic.shading`."""

Color = Sequence[float]


class Atlas:
    """One image that holds several rectangular charts, one below the other.

    Texels carry a part value, an RGB colour and a material. Charts are addressed in their own
    coordinates: metres along ``a`` (columns) and ``b`` (rows).

    Args:
        charts: for each chart its extent (a_min, a_max, b_min, b_max) in metres.
        density: texels per metre.
    """

    _MARGIN = 3
    _SWATCH = 8

    def __init__(
        self, charts: dict[str, tuple[float, float, float, float]], density: float
    ) -> None:
        self.density = density
        self._origin: dict[str, tuple[float, float]] = {}
        self._rows: dict[str, tuple[int, int]] = {}
        top, width = self._SWATCH, 64 * self._SWATCH
        for name, (a_min, a_max, b_min, b_max) in charts.items():
            height = int((b_max - b_min) * density) + 2 * self._MARGIN
            self._origin[name] = (
                self._MARGIN - a_min * density,
                top + self._MARGIN - b_min * density,
            )
            self._rows[name] = (top, top + height)
            width = max(width, int((a_max - a_min) * density) + 2 * self._MARGIN)
            top += height
        self.part = np.zeros((top, width), np.uint8)
        self.color = np.zeros((top, width, 3), np.uint8)
        self.material = np.zeros((top, width), np.uint8)
        self._swatches: dict[tuple[int, tuple[int, ...], int], int] = {}

    def rows(self, chart: str) -> slice:
        """The atlas rows that a chart takes."""
        return slice(*self._rows[chart])

    def texels(self, chart: str, points: np.ndarray) -> np.ndarray:
        """Atlas coordinates (..., 2) as column, row of chart points (..., 2) in metres."""
        return points * self.density + self._origin[chart]

    def fill(self, chart: str, part: int, color: Color, material: int) -> None:
        """Paint a whole chart."""
        rows = self.rows(chart)
        self.part[rows] = part
        span = self.color[rows]
        corner = (span.shape[1], span.shape[0])
        cv2.rectangle(span, (0, 0), corner, [float(c) for c in color], cv2.FILLED)
        self.material[rows] = material

    def polygon(
        self,
        chart: str,
        points: np.ndarray | Sequence[Sequence[float]],
        *,
        part: int | None = None,
        color: Color | None = None,
        material: int | None = None,
    ) -> None:
        """Paint a polygon of chart points (n, 2) in metres; what is None stays as it is."""
        corners = self._fixed(chart, points)
        if part is not None:
            cv2.fillPoly(self.part, [corners], int(part), shift=4)
        if color is not None:
            cv2.fillPoly(self.color, [corners], [float(c) for c in color], shift=4)
        if material is not None:
            cv2.fillPoly(self.material, [corners], int(material), shift=4)

    def rect(
        self, chart: str, a: tuple[float, float], b: tuple[float, float], **paint: int | Color
    ) -> None:
        """Paint an axis-parallel rectangle; keywords as in :meth:`polygon`."""
        self.polygon(chart, [(a[0], b[0]), (a[1], b[0]), (a[1], b[1]), (a[0], b[1])], **paint)

    def disc(
        self, chart: str, center: tuple[float, float], radius: float, **paint: int | Color
    ) -> None:
        """Paint a disc; keywords as in :meth:`polygon`."""
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        ring = np.stack([np.cos(turn), np.sin(turn)], 1)
        self.polygon(chart, np.asarray(center) + radius * ring, **paint)

    def line(
        self,
        chart: str,
        points: np.ndarray | Sequence[Sequence[float]],
        color: Color,
        width: float,
        *,
        closed: bool = False,
    ) -> None:
        """Draw a line through points (n, 2), `width` in metres; it changes the colour only."""
        corners = self._fixed(chart, points)
        cv2.polylines(
            self.color,
            [corners],
            closed,
            [float(c) for c in color],
            max(1, round(width * self.density)),
            cv2.LINE_AA,
            4,
        )

    def stamp(
        self, chart: str, center: tuple[float, float], patch: np.ndarray, part: int, material: int
    ) -> None:
        """Lay an RGB picture (h, w, 3) uint8, rows along b, columns along a, over a chart."""
        col, row = self.texels(chart, np.asarray(center))
        top, left = int(row - patch.shape[0] / 2), int(col - patch.shape[1] / 2)
        where = (slice(top, top + patch.shape[0]), slice(left, left + patch.shape[1]))
        self.color[where] = patch
        self.part[where] = part
        self.material[where] = material

    def swatch(self, part: int, color: Color, material: int) -> np.ndarray:
        """Atlas coordinates (2,) of a spot of one plain part, colour and material."""
        key = (part, tuple(int(c) for c in color), material)
        index = self._swatches.setdefault(key, len(self._swatches))
        if index >= 64:
            raise ValueError("an atlas holds at most 64 swatches")
        columns = slice(index * self._SWATCH, (index + 1) * self._SWATCH)
        self.part[: self._SWATCH, columns] = part
        self.color[: self._SWATCH, columns] = key[1]
        self.material[: self._SWATCH, columns] = material
        return np.array([(index + 0.5) * self._SWATCH, 0.5 * self._SWATCH])

    def _fixed(self, chart: str, points: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
        texels = self.texels(chart, np.asarray(points, float)) - 0.5
        return np.round(texels * 16).astype(np.int32)
