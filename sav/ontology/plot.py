"""A picture of a knowledge graph.

It needs matplotlib, which is slow to import: import this module where a picture is drawn.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch
from matplotlib.textpath import TextPath
from PIL import Image

from sav.errors import SAVError
from sav.files import atomic_path
from sav.ontology.graph import relation_support
from sav.ontology.ontology import Concept, Ontology, PartClass
from sav.ontology.placement import Placement, place_nodes, row_of
from sav.ontology.plot_edges import STYLES, WIDTHS, draw_edges
from sav.ontology.priors import Priors

SUFFIXES = (".png", ".svg", ".pdf")
_FONT = "DejaVu Sans"
_FONT_SIZE = 9.5
_SMALL = 7.5
_WRAP = 13  # characters a line
_DPI = 200
_INK = "#26303a"
_GREY = "#7b8794"
_BANDS = {1: "left side", 0: "middle", -1: "right side"}


def plot_graph(ontology: Ontology, path: str | Path, priors: Priors | None = None) -> None:
    """Draw the parts of an ontology where they are on the vehicle, and their relations.

    Args:
        ontology: what to draw.
        path: a .png, .svg or .pdf file.
        priors: of the same vocabulary. Then the width of an edge shows its support, see
            :func:`relation_support`, and nodes show in how many vehicles they are seen.

    Raises:
        SAVError: another suffix, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise SAVError(f"{path}: pictures are {', '.join(SUFFIXES)}")
    notes = _frequency_notes(ontology, priors)
    pairs = list(zip(ontology.nodes, notes, strict=True))
    sizes = np.array([_size(_label(node), note) for node, note in pairs])
    placement = place_nodes(ontology, sizes)
    low = placement.low.min(0) - np.array([58, 66 if priors else 52])
    high = placement.high.max(0) + np.array([32, 58])
    # One unit of the axes is one point of the page.
    figure = Figure(figsize=tuple((high - low) / 72), facecolor="white")
    FigureCanvasAgg(figure)
    with rc_context({"font.family": _FONT, "svg.fonttype": "none", "svg.hashsalt": ontology.name}):
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.axis("off")
        _draw_bands(axes, ontology, placement)
        boxes = [
            _draw_node(axes, node, note, centre, size)
            for (node, note), centre, size in zip(pairs, placement.centres, sizes, strict=True)
        ]
        support = relation_support(ontology, priors) if priors else {}
        drawn = draw_edges(axes, ontology, boxes, placement, support)
        _draw_caption(axes, ontology, priors, len(drawn))
        _draw_legend(axes, {relation.predicate for relation in drawn}, priors is not None)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=_DPI, metadata=_no_date(path))
            if path.suffix.lower() == ".png":
                # A few flat colours: a palette takes a quarter of the bytes.
                Image.open(temporary).convert("RGB").quantize(256).save(temporary, optimize=True)


def _label(node: Concept) -> str:
    return "\n".join(textwrap.wrap(node.name.replace("_", " "), _WRAP, break_long_words=False))


def _frequency_notes(ontology: Ontology, priors: Priors | None) -> list[str]:
    if priors is None:
        return [""] * len(ontology.nodes)
    shares = [f"seen in {share:.0%}" for share in priors.frequency.share]
    return shares + [""] * len(ontology.concepts)


def _size(label: str, note: str) -> tuple[float, float]:
    """Width and height of a node, points."""

    def width(text: str, size: float) -> float:
        font = FontProperties(family=_FONT)
        return TextPath((0, 0), text, size=size, prop=font).get_extents().width

    lines = label.split("\n")
    widths = [width(line, _FONT_SIZE) for line in lines] + ([width(note, _SMALL)] if note else [])
    height = 1.25 * _FONT_SIZE * len(lines) + (1.3 * _SMALL if note else 0)
    return max(widths) + 14, height + 9


def _draw_bands(axes: Axes, ontology: Ontology, placement: Placement) -> None:
    rows = np.array([row_of(node) for node in ontology.nodes])
    left, right = placement.low[:, 0].min() - 18, placement.high[:, 0].max() + 18
    for row, name in _BANDS.items():
        inside = rows == row
        if not inside.any():
            continue
        bottom = placement.low[inside, 1].min() - 14
        top = placement.high[inside, 1].max() + 14
        band = FancyBboxPatch(
            (left, bottom),
            right - left,
            top - bottom,
            boxstyle="round,pad=0,rounding_size=12",
            facecolor="#f2f4f7" if row else "#fafbfc",
            edgecolor="#dde2e8",
            linewidth=0.8,
            zorder=0,
        )
        axes.add_patch(band)
        style = {"ha": "center", "va": "center", "color": _GREY, "fontsize": 9}
        axes.text(left - 16, (bottom + top) / 2, name, rotation=90, **style)


def _draw_node(
    axes: Axes, node: Concept, note: str, centre: np.ndarray, size: np.ndarray
) -> FancyBboxPatch:
    is_class = isinstance(node, PartClass)
    color = np.array(node.color) / 255 if is_class else np.ones(3)
    box = FancyBboxPatch(
        centre - size / 2,
        *size,
        boxstyle=f"round,pad=0,rounding_size={6 if is_class else size[1] / 2}",
        facecolor=tuple(color),
        edgecolor=tuple(0.6 * color) if is_class else _GREY,
        linestyle="-" if is_class else (0, (3, 2)),
        linewidth=1.0,
        zorder=3,
    )
    axes.add_patch(box)
    bright = color @ (0.299, 0.587, 0.114) > 0.5
    style = {
        "ha": "center",
        "va": "center",
        "color": to_rgb(_INK) if bright else (1.0, 1.0, 1.0),
        "zorder": 4,
    }
    rise = 0.65 * _SMALL if note else 0
    slant = "normal" if is_class else "italic"
    font = {"fontsize": _FONT_SIZE, "fontstyle": slant, "linespacing": 1.1}
    axes.text(centre[0], centre[1] + rise, _label(node), **font, **style)
    if note:
        foot = centre[1] - size[1] / 2 + 4 + 0.5 * _SMALL
        axes.text(centre[0], foot, note, fontsize=_SMALL, alpha=0.85, **style)
    return box


def _draw_caption(axes: Axes, ontology: Ontology, priors: Priors | None, count: int) -> None:
    (left, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    title = {"fontsize": 13, "weight": "bold", "color": _INK, "va": "center"}
    axes.text(left + 40, top - 20, ontology.name, **title)
    facts = f"{len(ontology)} part classes, {len(ontology.relations)} relations ({count} drawn)"
    if priors is not None:
        facts += f", priors of {priors.vehicles:,} vehicles"
    axes.text(left + 40, top - 36, facts, fontsize=9, color="#5b6670", va="center")
    arrow = {"arrowstyle": "-|>", "color": _GREY, "lw": 1.2}
    axes.annotate("", (right - 32, top - 28), (right - 76, top - 28), arrowprops=arrow)
    axes.text(right - 80, top - 28, "front", fontsize=9, color=_GREY, ha="right", va="center")


def _draw_legend(axes: Axes, predicates: set[str], with_widths: bool) -> None:
    entries = {
        name.replace("_", " "): Line2D(
            [], [], color=style.color, ls=style.dashes, lw=style.width + 0.3
        )
        for name, style in STYLES.items()
        if name in predicates
    }
    if with_widths:
        for share in (0.0, 0.5, 1.0):
            width = np.interp(share, (0, 1), WIDTHS)
            entries[f"support {share:g}"] = Line2D([], [], color=_INK, lw=width)
    axes.legend(
        list(entries.values()),
        list(entries),
        loc="lower center",
        ncols=-(-len(entries) // (2 if len(entries) > 7 else 1)),
        frameon=False,
        fontsize=9,
        handlelength=3.2,
        labelcolor=_INK,
        borderaxespad=0.6,
    )


def _no_date(path: Path) -> dict[str, str | None]:
    """The same graph gives the same file, whenever it is drawn."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})
