"""Pictures of a knowledge graph: parts where they are on the vehicle, and typed relations."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

from sav.errors import SAVError
from sav.files import atomic_path
from sav.ontology.graph import relation_support
from sav.ontology.ontology import Ontology
from sav.ontology.placement import Placement, bends, place_nodes, row_of
from sav.ontology.priors import Priors
from sav.ontology.relations import INVERSE, Relation

# The same graph gives the same file, whenever it is drawn.
_METADATA = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
_FONTS = {"font.family": "DejaVu Sans", "svg.fonttype": "none"}
_WRAP = 13  # characters a line
_DPI = 200
_INK = "#26303a"
_GREY = "#7b8794"
_BANDS = {1: "left side", 0: "middle", -1: "right side"}
_WIDTHS = (0.6, 3.4)  # of lines whose mined support is 0 and 1, points
_ABREAST = 8.0  # points between relations of the same two nodes
_BACKGROUND = {"part_of", "mirror_of"}  # drawn straight, behind the others
# Of a predicate and its inverse, one is drawn: colour, dashes, width.
_STYLES: dict[str, tuple[str, Any, float]] = {
    "part_of": ("#c3cad2", "-", 0.7),
    "mirror_of": ("#9aa4ae", (0, (1, 2.2)), 1.1),
    "left_of": ("#2f9e6e", (0, (6, 2, 1, 2, 1, 2)), 1.2),
    "adjacent_to": ("#4a5560", "-", 1.5),
    "in_front_of": ("#d9730d", (0, (5, 2, 1, 2)), 1.3),
    "above": ("#2563c9", (0, (4, 2)), 1.3),
    "inside": ("#9b30b8", (0, (1.2, 1.2)), 1.8),
}


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
    suffix = path.suffix.lower()
    if suffix not in _METADATA:
        raise SAVError(f"{path}: pictures are {', '.join(_METADATA)}")
    with rc_context(_FONTS | {"svg.hashsalt": ontology.name}):
        # One unit of the axes is one point of the page.
        figure = Figure(dpi=_DPI, facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        placement, boxes = _draw_nodes(axes, ontology, priors)
        low = placement.low.min(0) - np.array([58, 66 if priors else 52])
        high = placement.high.max(0) + np.array([32, 58])
        figure.set_size_inches((high - low) / 72)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        _draw_bands(axes, ontology, placement)
        relations = _draw_edges(axes, ontology, priors, placement, boxes)
        _draw_caption(axes, ontology, priors, len(relations))
        _draw_legend(axes, relations, priors is not None)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, metadata=_METADATA[suffix])
            if suffix == ".png":
                # A few flat colours: a palette takes a quarter of the bytes.
                Image.open(temporary).convert("RGB").quantize(256).save(temporary, optimize=True)


def drawn_relations(ontology: Ontology) -> list[Relation]:
    """The relations to draw: one of each with its inverse, by predicate.

    That a class lies to the left of its mirror image goes without saying.
    """
    return [
        relation
        for predicate in _STYLES
        for relation in ontology.relations
        if relation.predicate == predicate
        and (INVERSE[predicate] != predicate or relation.subject < relation.object)
        and not (
            predicate == "left_of"
            and ontology.graph.has_edge(relation.subject, relation.object, "mirror_of")
        )
    ]


def _draw_nodes(
    axes: Axes, ontology: Ontology, priors: Priors | None
) -> tuple[Placement, list[FancyBboxPatch]]:
    labels = [
        textwrap.fill(node.name.replace("_", " "), _WRAP, break_long_words=False)
        for node in ontology.nodes
    ]
    if priors is not None:
        for index, share in enumerate(priors.frequency.share):
            labels[index] += f"\nseen in {share:.0%}"
    colors = np.ones((len(labels), 3))
    colors[: len(ontology)] = np.array(ontology.colors) / 255
    bright = colors @ (0.299, 0.587, 0.114) > 0.5
    style = {"ha": "center", "va": "center", "fontsize": 9.5, "linespacing": 1.2, "zorder": 4}
    texts = [axes.text(0, 0, label, **style) for label in labels]
    pixels = np.array([text.get_window_extent().size for text in texts])
    placement = place_nodes(ontology, pixels * 72 / _DPI + np.array([12, 10.5]))
    boxes = []
    for index, text in enumerate(texts):
        is_class = index < len(ontology)
        text.set(
            position=placement.centres[index],
            color=_INK if bright[index] else "white",
            fontstyle="normal" if is_class else "italic",
        )
        box = _draw_box(
            axes,
            placement.low[index],
            placement.sizes[index],
            radius=6 if is_class else placement.sizes[index, 1] / 2,
            facecolor=colors[index],
            edgecolor=0.6 * colors[index] if is_class else _GREY,
            linestyle="-" if is_class else (0, (3, 2)),
            linewidth=1.0,
            zorder=3,
        )
        boxes.append(box)
    return placement, boxes


def _draw_bands(axes: Axes, ontology: Ontology, placement: Placement) -> None:
    rows = np.array([row_of(node) for node in ontology.nodes])
    left, right = placement.low[:, 0].min() - 18, placement.high[:, 0].max() + 18
    for row, name in _BANDS.items():
        here = rows == row
        if not here.any():
            continue
        bottom, top = placement.low[here, 1].min() - 14, placement.high[here, 1].max() + 14
        face = "#f2f4f7" if row else "#fafbfc"
        style = {"facecolor": face, "edgecolor": "#dde2e8", "linewidth": 0.8, "zorder": 0}
        _draw_box(axes, (left, bottom), (right - left, top - bottom), radius=12, **style)
        style = {"ha": "center", "va": "center", "color": _GREY, "fontsize": 9}
        axes.text(left - 16, (bottom + top) / 2, name, rotation=90, **style)


def _draw_box(
    axes: Axes, corner: Sequence[float], size: Sequence[float], radius: float, **style: Any
) -> FancyBboxPatch:
    boxstyle = f"round,pad=0,rounding_size={radius}"
    return axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=boxstyle, **style))


def _draw_edges(
    axes: Axes,
    ontology: Ontology,
    priors: Priors | None,
    placement: Placement,
    boxes: Sequence[FancyBboxPatch],
) -> list[Relation]:
    relations = drawn_relations(ontology)
    support = relation_support(ontology, priors) if priors else {}
    index = {name: i for i, name in enumerate(ontology.graph)}
    groups: dict[tuple[int, int], list[Relation]] = defaultdict(list)
    for relation in relations:
        first, second = sorted((index[relation.subject], index[relation.object]))
        groups[first, second].append(relation)
    bent = [pair for pair, group in groups.items() if {r.predicate for r in group} - _BACKGROUND]
    mirrors = ontology.mirror_ids + list(range(len(ontology), len(ontology.nodes)))
    bend_of = bends(bent, mirrors, placement)
    for pair, group in groups.items():
        along = np.subtract(*placement.centres[list(pair[::-1])])
        normal = np.array([along[1], -along[0]]) / max(np.hypot(*along), 1e-6)
        for lane, relation in enumerate(group):
            color, dashes, width = _STYLES[relation.predicate]
            behind = relation.predicate in _BACKGROUND
            directed = INVERSE[relation.predicate] != relation.predicate and not behind
            if relation in support and not behind:
                width = float(np.interp(support[relation], (0, 1), _WIDTHS))
            ends = index[relation.subject], index[relation.object]
            shift = normal * _ABREAST * (lane - (len(group) - 1) / 2)
            arrow = FancyArrowPatch(
                *(placement.centres[end] + shift for end in ends),
                patchA=boxes[ends[0]],
                patchB=boxes[ends[1]],
                connectionstyle=f"arc3,rad={bend_of.get(ends, 0.0)}",
                arrowstyle="-|>" if directed else "-",
                mutation_scale=7 + 1.5 * width,
                linestyle=dashes,
                linewidth=width,
                color=color,
                capstyle="butt",
                joinstyle="miter",
                zorder=1 if behind else 2,
            )
            axes.add_patch(arrow)
    return relations


def _draw_caption(axes: Axes, ontology: Ontology, priors: Priors | None, count: int) -> None:
    (left, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    axes.text(left + 40, top - 25, ontology.name, fontsize=13, weight="bold", color=_INK)
    facts = f"{len(ontology)} part classes, {len(ontology.relations)} relations ({count} drawn)"
    if priors is not None:
        facts += f", priors of {priors.vehicles:,} vehicles"
    axes.text(left + 40, top - 36, facts, fontsize=9, color="#5b6670", va="center")
    arrow = {"arrowstyle": "-|>", "color": _GREY, "lw": 1.2}
    axes.annotate("", (right - 32, top - 28), (right - 76, top - 28), arrowprops=arrow)
    axes.text(right - 80, top - 28, "front", fontsize=9, color=_GREY, ha="right", va="center")


def _draw_legend(axes: Axes, relations: Sequence[Relation], with_widths: bool) -> None:
    drawn = {relation.predicate for relation in relations}
    lines = [
        Line2D([], [], label=name.replace("_", " "), color=color, ls=dashes, lw=width + 0.3)
        for name, (color, dashes, width) in _STYLES.items()
        if name in drawn
    ]
    for share in (0.0, 0.5, 1.0) if with_widths else ():
        width = np.interp(share, (0, 1), _WIDTHS)
        lines.append(Line2D([], [], label=f"support {share:g}", color=_INK, lw=width))
    axes.legend(
        handles=lines,
        loc="lower center",
        ncols=-(-len(lines) // (2 if len(lines) > 7 else 1)),
        frameon=False,
        fontsize=9,
        handlelength=3.2,
        labelcolor=_INK,
    )
