"""The pieces that figures are made of, in the look of the drawings of knowledge graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path as Way
from PIL import Image

from sav.files import atomic_path

INK, GREY = "#26303a", "#5b6670"
MONO = "DejaVu Sans Mono"
_DPI = 144

Pair = tuple[float, float]


def tint(color: str, share: float) -> tuple[float, ...]:
    """A colour mixed with white."""
    return tuple(1 - share * (1 - np.array(to_rgb(color))))


class Page:
    """A white page.

    Places are centres, unless a name says otherwise, in points from the bottom left. A point is
    about a pixel of who reads the figure in a web page.
    """

    def __init__(self, width: float, height: float) -> None:
        self._size = width, height
        self.figure = Figure(figsize=(width / 72, height / 72), facecolor="white")
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.axis("off")

    def text(self, place: Pair, words: str, **style: Any) -> None:
        """Words, if nothing else is said small, grey and centred."""
        usual = {"ha": "center", "va": "center", "fontsize": 10.5, "color": GREY}
        self.axes.text(*place, words, **usual | {"linespacing": 1.3, "zorder": 6} | style)

    def name(self, place: Pair, words: str, **style: Any) -> None:
        """Larger, bold words."""
        self.text(place, words, **{"fontsize": 12, "color": INK, "weight": "bold"} | style)

    def caption(self, top: Pair, name: str, *lines: str) -> None:
        """A name, and small lines below it."""
        self.name(top, name, va="top")
        self.text((top[0], top[1] - 17), "\n".join(lines), va="top")

    def lane(self, corner: Pair, size: Pair, color: str, words: tuple[str, str, str]) -> None:
        """The ground of a component: its number, title and folders."""
        self._box(corner, size, tint(color, 0.07), tint(color, 0.35), 12)
        x, y = corner[0] + 20, corner[1] + size[1] - 18
        self.axes.add_patch(Circle((x, y), 9, facecolor=color, zorder=5))
        self.name((x, y - 0.5), words[0], fontsize=11, color="white")
        style = {"fontsize": 13, "color": color, "weight": "bold", "va": "center"}
        title = self.axes.text(x + 15, y, words[1], **style)
        small = {"fontsize": 10.5, "color": color, "family": MONO, "va": "center"}
        self.axes.annotate(
            words[2], (1, 0.5), (10, 0), xycoords=title, textcoords="offset points", **small
        )

    def module(self, place: Pair, size: Pair, color: str, words: str, *, note: str = "") -> None:
        """What computes: a filled box."""
        (x, y), (width, height) = place, size
        self._box((x - width / 2, y - height / 2), size, color, color, 8)
        lift = 7.0 * (note.count("\n") + 1) if note else 0
        self.name((x, y + lift), words, color="white")
        self.text((x, y - 9), note, color="white")

    def cylinder(self, place: Pair, size: Pair, color: str, words: str, *, note: str = "") -> None:
        """What is stored."""
        (x, y), (width, height) = place, size
        wall = {"facecolor": color, "zorder": 2}
        self.axes.add_patch(Rectangle((x - width / 2, y - height / 2), width, height, **wall))
        self.axes.add_patch(Ellipse((x, y - height / 2), width, 16, **wall))
        lid = {"facecolor": tint(color, 0.6), "edgecolor": color, "zorder": 3}
        self.axes.add_patch(Ellipse((x, y + height / 2), width, 16, **lid))
        self.name((x, y + 3), words, color="white")
        self.text((x, y - 13), note, color="white")

    def tile(self, place: Pair, size: Pair, pixels: np.ndarray, *, smooth: bool = False) -> None:
        """A tensor as a small picture (h, w, 3) in [0, 1]."""
        (x, y), (width, height) = place, size
        extent = (x - width / 2, x + width / 2, y - height / 2, y + height / 2)
        how = "lanczos" if smooth else "nearest"
        self.axes.imshow(pixels, extent=extent, interpolation=how, zorder=3, aspect="auto")
        frame = {"facecolor": "none", "edgecolor": GREY, "linewidth": 0.9, "zorder": 4}
        self.axes.add_patch(Rectangle((extent[0], extent[2]), width, height, **frame))

    def tiles(self, place: Pair, size: Pair, pictures: Sequence[np.ndarray]) -> None:
        """Four tiles of one size, two by two."""
        for index, pixels in enumerate(pictures):
            x = place[0] + (index % 2 - 0.5) * (size[0] + 4)
            y = place[1] - (index // 2 - 0.5) * (size[1] + 4)
            self.tile((x, y), size, pixels, smooth=True)

    def arrow(self, *places: Pair, color: str = INK, head: str = "-|>", **style: Any) -> None:
        """A line through places, with a head at the last one."""
        usual = {"linewidth": 1.6, "joinstyle": "round", "mutation_scale": 12, "zorder": 2}
        usual |= {"color": color, "arrowstyle": head, "fill": head != "-"}
        self.axes.add_patch(FancyArrowPatch(path=Way(places), **usual | style))

    def branch(self, place: Pair, color: str = INK) -> None:
        """Where lines part."""
        self.axes.add_patch(Circle(place, 2.6, facecolor=color, edgecolor="none", zorder=2))

    def plus(self, place: Pair) -> None:
        """A sign where two things are added."""
        self.axes.add_patch(Circle(place, 8, facecolor="white", edgecolor=INK, zorder=3))
        self.text((place[0], place[1] - 0.5), "+", fontsize=13, color=INK)

    def save(self, path: Path) -> None:
        """Write a PNG, with a palette: a third of the bytes."""
        self.axes.set(xlim=(0, self._size[0]), ylim=(0, self._size[1]))
        with atomic_path(path) as temporary:
            self.figure.savefig(temporary, dpi=_DPI)
            Image.open(temporary).convert("RGB").quantize(256).save(temporary, optimize=True)

    def _box(self, corner: Pair, size: Pair, face: Any, edge: Any, radius: float) -> None:
        style = f"round,pad=0,rounding_size={radius}"
        self.axes.add_patch(
            FancyBboxPatch(corner, *size, boxstyle=style, facecolor=face, edgecolor=edge)
        )
