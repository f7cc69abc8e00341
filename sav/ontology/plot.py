"""A picture of a knowledge graph. Matplotlib is imported when one is drawn, not before."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sav.errors import SAVError
from sav.files import atomic_path
from sav.ontology.ontology import Ontology, PartClass
from sav.ontology.placement import bends, place_nodes, row_of
from sav.ontology.priors import Priors
from sav.ontology.relations import INVERSE, Relation
from sav.ontology.support import relation_support

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

SUFFIXES = (".png", ".svg", ".pdf")
_FONT = "DejaVu Sans"
_FONT_SIZE = 9.5
_SMALL = 7.5
_WRAP = 13  # characters a line
_DPI = 200
_INK = "#26303a"
_BANDS = {1: "left side", 0: "middle", -1: "right side"}
_ABREAST = 8.0  # points between relations of the same two nodes


@dataclass(frozen=True)
class _Line:
    """How a predicate is drawn."""

    color: str
    style: str | tuple[int, tuple[float, ...]]
    width: float
    head: str = "-|>"


# Of a predicate and its inverse, one is drawn.
_LINES = {
    "part_of": _Line("#c3cad2", "-", 0.7, "-"),
    "mirror_of": _Line("#9aa4ae", (0, (1, 2.2)), 1.1, "-"),
    "left_of": _Line("#2f9e6e", (0, (6, 2, 1, 2, 1, 2)), 1.2),
    "adjacent_to": _Line("#4a5560", "-", 1.5, "-"),
    "in_front_of": _Line("#d9730d", (0, (5, 2, 1, 2)), 1.3),
    "above": _Line("#2563c9", (0, (4, 2)), 1.3),
    "inside": _Line("#9b30b8", (0, (1.2, 1.2)), 1.8),
}
_BACKGROUND = {"part_of", "mirror_of"}  # drawn straight, behind the others
_WIDTHS = (0.6, 3.4)  # of edges whose mined support is 0 and 1


def plot_graph(ontology: Ontology, path: str | Path, priors: Priors | None = None) -> None:
    """Draw the parts of an ontology where they are on the vehicle, and their relations.

    Args:
        ontology: what to draw.
        path: a .png, .svg or .pdf file.
        priors: of the same vocabulary; edges are then as wide as :func:`relation_support` says,
            and nodes tell in how many vehicles they were seen.

    Raises:
        SAVError: another suffix, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise SAVError(f"{path}: pictures are {', '.join(SUFFIXES)}")
    # Slow to import, and needed for pictures alone.
    from matplotlib import rc_context  # noqa: PLC0415
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    labels = [_label(node.name) for node in ontology.nodes]
    notes = _frequency_notes(ontology, priors)
    sizes = np.array([_size(*pair) for pair in zip(labels, notes, strict=True)])
    centres = place_nodes(ontology, sizes)
    low = (centres - sizes / 2).min(0) - np.array([58, 66 if priors else 52])
    high = (centres + sizes / 2).max(0) + np.array([32, 58])
    # One unit of the axes is one point of the page.
    figure = Figure(figsize=tuple((high - low) / 72), facecolor="white")
    FigureCanvasAgg(figure)
    with rc_context({"font.family": _FONT, "svg.fonttype": "none", "svg.hashsalt": ontology.name}):
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.axis("off")
        _draw_bands(axes, ontology, centres, sizes)
        boxes = _draw_nodes(axes, ontology, (labels, notes), centres, sizes)
        drawn = _draw_edges(axes, ontology, priors, boxes, (centres, sizes))
        _draw_caption(axes, ontology, priors, len(drawn))
        _draw_legend(axes, {predicate for _, _, predicate in drawn}, priors is not None)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=_DPI, metadata=_no_date(path))
            if path.suffix.lower() == ".png":
                # A few flat colours: a palette takes a quarter of the bytes.
                Image.open(temporary).convert("RGB").quantize(256).save(temporary, optimize=True)


def canonical_edges(ontology: Ontology) -> list[tuple[str, str, str]]:
    """The edges to draw (subject, object, predicate): one of each with its inverse.

    That a class lies to the left of its mirror image goes without saying.
    """
    mirror_of = {part.name: part.mirror for part in ontology.classes}
    order = {node.name: i for i, node in enumerate(ontology.nodes)}
    return sorted(
        (
            (subject, target, predicate)
            for subject, target, predicate in ontology.graph().edges(keys=True)
            if predicate in _LINES
            and (INVERSE[predicate] != predicate or order[subject] < order[target])
            and (predicate != "left_of" or mirror_of.get(subject) != target)
        ),
        key=lambda edge: (list(_LINES).index(edge[2]), order[edge[0]], order[edge[1]]),
    )


def _label(name: str) -> str:
    return "\n".join(textwrap.wrap(name.replace("_", " "), _WRAP, break_long_words=False))


def _frequency_notes(ontology: Ontology, priors: Priors | None) -> list[str]:
    if priors is None:
        return [""] * len(ontology.nodes)
    shares = [f"seen in {share:.0%}" for share in priors.frequency.share]
    return shares + [""] * len(ontology.concepts)


def _size(label: str, note: str) -> tuple[float, float]:
    """Width and height of a node, points."""
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415
    from matplotlib.textpath import TextPath  # noqa: PLC0415

    def width(text: str, size: float) -> float:
        font = FontProperties(family=_FONT)
        return TextPath((0, 0), text, size=size, prop=font).get_extents().width

    lines = label.split("\n")
    widths = [width(line, _FONT_SIZE) for line in lines] + ([width(note, _SMALL)] if note else [])
    height = 1.25 * _FONT_SIZE * len(lines) + (1.3 * _SMALL if note else 0)
    return max(widths) + 14, height + 9


def _draw_bands(axes: Axes, ontology: Ontology, centres: np.ndarray, sizes: np.ndarray) -> None:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415

    rows = np.array([row_of(node) for node in ontology.nodes])
    left, right = (centres - sizes / 2).min(0)[0] - 18, (centres + sizes / 2).max(0)[0] + 18
    for row, name in _BANDS.items():
        inside = rows == row
        if not inside.any():
            continue
        bottom = (centres - sizes / 2)[inside, 1].min() - 14
        top = (centres + sizes / 2)[inside, 1].max() + 14
        shade = "#f2f4f7" if row else "#fafbfc"
        axes.add_patch(
            FancyBboxPatch(
                (left, bottom),
                right - left,
                top - bottom,
                boxstyle="round,pad=0,rounding_size=12",
                facecolor=shade,
                edgecolor="#dde2e8",
                linewidth=0.8,
                zorder=0,
            )
        )
        style = {"ha": "center", "va": "center", "color": "#7b8794", "fontsize": 9}
        axes.text(left - 16, (bottom + top) / 2, name, rotation=90, **style)


def _draw_nodes(
    axes: Axes,
    ontology: Ontology,
    texts: tuple[Sequence[str], Sequence[str]],
    centres: np.ndarray,
    sizes: np.ndarray,
) -> dict[str, FancyBboxPatch]:
    from matplotlib.colors import to_rgb  # noqa: PLC0415
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415

    boxes = {}
    for node, label, note, centre, size in zip(ontology.nodes, *texts, centres, sizes, strict=True):
        color = np.array(node.color) / 255 if isinstance(node, PartClass) else np.ones(3)
        is_class = isinstance(node, PartClass)
        box = FancyBboxPatch(
            centre - size / 2,
            *size,
            boxstyle=f"round,pad=0,rounding_size={6 if is_class else size[1] / 2}",
            facecolor=tuple(color),
            edgecolor=tuple(0.6 * color) if is_class else "#7b8794",
            linestyle="-" if is_class else (0, (3, 2)),
            linewidth=1.0,
            zorder=3,
        )
        boxes[node.name] = axes.add_patch(box)
        bright = color @ (0.299, 0.587, 0.114) > 0.5
        ink = to_rgb(_INK) if bright else (1.0, 1.0, 1.0)
        style = {"ha": "center", "va": "center", "color": ink, "zorder": 4}
        rise = 0.65 * _SMALL if note else 0
        slant = "normal" if is_class else "italic"
        axes.text(
            centre[0], centre[1] + rise, label, fontsize=_FONT_SIZE, fontstyle=slant,
            linespacing=1.1, **style,
        )  # fmt: skip
        if note:
            foot = centre[1] - size[1] / 2 + 4 + 0.5 * _SMALL
            axes.text(centre[0], foot, note, fontsize=_SMALL, alpha=0.85, **style)
    return boxes


def _draw_edges(
    axes: Axes,
    ontology: Ontology,
    priors: Priors | None,
    boxes: dict[str, FancyBboxPatch],
    layout: tuple[np.ndarray, np.ndarray],
) -> list[tuple[str, str, str]]:
    edges = canonical_edges(ontology)
    index = {node.name: i for i, node in enumerate(ontology.nodes)}
    groups: dict[tuple[int, int], list[tuple[str, str, str]]] = defaultdict(list)
    for edge in edges:
        groups[min(index[edge[0]], index[edge[1]]), max(index[edge[0]], index[edge[1]])].append(
            edge
        )
    typed = [pair for pair, group in groups.items() if {e[2] for e in group} - _BACKGROUND]
    mirrors = ontology.mirror_ids + list(range(len(ontology), len(ontology.nodes)))
    bent = bends(typed, mirrors, *layout)
    support = relation_support(ontology, priors) if priors else {}
    for (first, second), group in groups.items():
        along = layout[0][second] - layout[0][first]
        normal = np.array([along[1], -along[0]]) / max(np.hypot(*along), 1e-6)
        for lane, edge in enumerate(group):
            line = _LINES[edge[2]]
            width = line.width
            fact = Relation(edge[0], edge[2], edge[1])
            if fact in support and edge[2] not in _BACKGROUND:
                width = float(np.interp(support[fact], (0, 1), _WIDTHS))
            shift = normal * _ABREAST * (lane - (len(group) - 1) / 2)
            bend = bent.get((first, second), 0.0) * (1 if index[edge[0]] == first else -1)
            axes.add_patch(_arrow((boxes[edge[0]], boxes[edge[1]]), edge[2], width, bend, shift))
    return edges


def _arrow(
    ends: tuple[FancyBboxPatch, FancyBboxPatch],
    predicate: str,
    width: float,
    bend: float,
    shift: np.ndarray,
) -> FancyArrowPatch:
    from matplotlib.patches import FancyArrowPatch  # noqa: PLC0415

    line = _LINES[predicate]
    return FancyArrowPatch(
        _centre(ends[0]) + shift,
        _centre(ends[1]) + shift,
        patchA=ends[0],
        patchB=ends[1],
        shrinkA=0,
        shrinkB=1,
        connectionstyle=f"arc3,rad={bend}",
        arrowstyle=line.head,
        mutation_scale=7 + 1.5 * width,
        linestyle=line.style,
        linewidth=width,
        color=line.color,
        capstyle="butt",
        joinstyle="miter",
        zorder=1 if predicate in _BACKGROUND else 2,
    )


def _centre(box: FancyBboxPatch) -> np.ndarray:
    return np.array([box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2])


def _draw_caption(axes: Axes, ontology: Ontology, priors: Priors | None, count: int) -> None:
    (left, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    axes.text(
        left + 40, top - 20, ontology.name, fontsize=13, weight="bold", color=_INK, va="center"
    )
    facts = f"{len(ontology)} part classes, {len(ontology.relations)} relations ({count} drawn)"
    if priors is not None:
        facts += f", priors of {priors.vehicles:,} vehicles"
    axes.text(left + 40, top - 36, facts, fontsize=9, color="#5b6670", va="center")
    axes.annotate(
        "",
        (right - 32, top - 28),
        (right - 76, top - 28),
        arrowprops={"arrowstyle": "-|>", "color": "#7b8794", "lw": 1.2},
    )
    axes.text(right - 80, top - 28, "front", fontsize=9, color="#7b8794", ha="right", va="center")


def _draw_legend(axes: Axes, predicates: set[str], with_widths: bool) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415

    keys = [name for name in _LINES if name in predicates]
    handles = [
        Line2D([], [], color=_LINES[key].color, ls=_LINES[key].style, lw=_LINES[key].width + 0.3)
        for key in keys
    ]
    names = [key.replace("_", " ") for key in keys]
    if with_widths:
        for share in (0.0, 0.5, 1.0):
            handles.append(Line2D([], [], color=_INK, lw=np.interp(share, (0, 1), _WIDTHS)))
            names.append(f"support {share:g}")
    axes.legend(
        handles,
        names,
        loc="lower center",
        ncols=-(-len(names) // (2 if len(names) > 7 else 1)),
        frameon=False,
        fontsize=9,
        handlelength=3.2,
        labelcolor=_INK,
        borderaxespad=0.6,
    )


def _no_date(path: Path) -> dict[str, str | None]:
    """The same graph gives the same file, whenever it is drawn."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})
