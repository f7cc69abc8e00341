"""Draws docs/architecture.png: the model's forward pass, with the shapes of what flows through it.

Shapes and small pictures are those of the shipped model at work on one synthetic photo::

    python docs/figures/architecture.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, Rectangle
from observation import Observation, as_shape
from page import GREY, INK, MONO, Page, Pair, tint
from scipy.special import expit

from sav.ontology.placement import place_nodes

_PICTURE = Path(__file__).parents[1] / "architecture.png"
_BLUE, _ORANGE, _GREEN = "#2563c9", "#d9730d", "#2f9e6e"
_SYMBOLS = {
    "S": "pixels",
    "C": "classes",
    "N": "queries",
    "k": "exemplars",
    "M": "instances",
}


def draw(seen: Observation, path: Path) -> None:
    """Write the figure, a PNG."""
    with rc_context({"font.family": "DejaVu Sans"}):
        page = Page(900, 588)
        for draw_part in (_symbols, _graph, _sam, _context, _results):
            draw_part(page, seen)
        page.save(path)


def _symbols(page: Page, seen: Observation) -> None:
    page.name((14, 560), "shipped model", ha="left")
    for row, (symbol, word) in enumerate(_SYMBOLS.items()):
        y = 536 - 16 * row
        page.name((20, y), symbol, fontsize=11, va="baseline")
        words = f"{seen.sizes[symbol]} {word}"
        page.text((33, y), words, fontsize=11, ha="left", va="baseline")


def _graph(page: Page, seen: Observation) -> None:
    words = "2", "Knowledge graph", "sav/ontology sav/modeling/graph"
    page.lane((132, 442), (624, 134), _ORANGE, words)
    y, below = 511, 475
    _small_graph(page, seen, (214, y - 2), (92, 50))
    page.caption((214, below), "parts, relations", "networkx, text embeddings")
    page.arrow((268, y), (306, y))
    page.module((360, y), (106, 46), _ORANGE, "graph encoder")
    page.arrow((414, y), (441, y))
    page.tile((474, y), (64, 39), _rows(seen.values["prompts"], seen.colors))
    page.caption((474, below), "class prompts", seen.shapes["prompts"])
    page.arrow((507, y), (551, y), head="-")
    page.plus((559, y))
    page.text((562, below + 3), "slot\nembedding", va="top")
    page.arrow((559, below + 5), (559, y - 8))
    page.arrow((568, y), (603, y))
    queries = _rows(seen.values["queries"], seen.colors[seen.classes])
    page.tile((636, y - 5), (64, 75), queries)
    page.name((676, y), "queries", ha="left")
    page.text((676, y - 16), seen.shapes["queries"], ha="left")


def _sam(page: Page, seen: Observation) -> None:
    words = "1", "SAM encoder, decoder", "sav/modeling/encoders sav/modeling/sam"
    page.lane((132, 220), (624, 204), _BLUE, words)
    y, high = 326, 380
    page.tile((66, y), (104, 78), seen.photo / 255, smooth=True)
    page.caption((66, y - 45), "photo", f"{seen.shapes['canvas']}, padded")
    page.arrow((119, y), (150, y))
    page.module((206, y), (110, 64), _BLUE, "image encoder", note="SAM ViT\nor timm + neck")
    page.arrow((262, y), (305, y))
    page.tile((340, y), (68, 52), _in_photo(_components(seen.values["embedding"]), seen))
    page.caption((340, y - 33), "embedding", seen.shapes["embedding"])
    page.arrow((375, y), (515, y))
    finer = {"color": _BLUE, "linestyle": (0, (4, 2)), "linewidth": 1.2}
    page.arrow((206, y + 33), (206, high), (545, high), (545, y + 33), **finer)
    ground = {"facecolor": tint(_BLUE, 0.07), "edgecolor": "none", "pad": 3}
    page.text((383, high), "timm: finer maps, for a feature pyramid", bbox=ground)
    page.arrow((612, 468), (612, y + 33))
    page.module((572, y), (112, 64), _BLUE, "SAM's two-way\ndecoder")
    page.arrow((629, y), (639, y), head="-")
    page.plus((647, y))
    page.arrow((655, y), (665, y))
    _class_maps(page, seen, 252)
    page.tiles((706, y + 10), (36, 27), _mask_pictures(seen, "masks"))
    page.caption((706, y - 24), "mask logits", as_shape("N", "S/4", "S/4"))
    _bars(page, (706, y - 78), seen)
    page.text((706, y - 86), f"presence {seen.shapes['presence']}, IoU {seen.shapes['iou']}")


def _class_maps(page: Page, seen: Observation, y: float) -> None:
    page.branch((454, y), _BLUE)
    page.arrow((454, y), (473, y), color=_BLUE)
    page.module((514, y), (80, 40), _BLUE, "class maps")
    page.text((514, y - 28), "sav/modeling/graph", family=MONO, fontsize=9)
    page.arrow((555, y), (572, y))
    page.tile((600, y), (52, 39), _in_photo(_paint(seen.values["class maps"], seen.colors), seen))
    page.arrow((627, y), (647, y), (647, 318))


def _context(page: Page, seen: Observation) -> None:
    words = "3", "Context retrieval", "sav/modeling/context sav/gallery"
    page.lane((24, 12), (732, 190), _GREEN, words)
    y, below, between = 112, 68, 211
    page.arrow((706, 232), (706, between), (12, between), (12, y), (48, y))
    page.branch((620, between))
    page.arrow((620, between), (620, y + 27))
    page.branch((454, 326), _BLUE)
    page.arrow((454, 326), (454, between + 5), color=_BLUE, head="-")
    page.arrow((454, between - 5), (454, y + 27), color=_BLUE)
    page.tile((82, y), (66, 66), _paint(seen.values["layout"], seen.colors))
    page.caption((82, below), "predicted parts", "in the vehicle's box", seen.shapes["layout"])
    page.arrow((116, y), (137, y))
    page.tile((147, y), (16, 66), _key_picture(seen))
    page.caption((158, below), "key", seen.shapes["key"])
    page.arrow((156, y), (176, y))
    page.cylinder((212, y), (68, 54), _GREEN, "gallery", note="FAISS")
    page.arrow((247, y), (269, y))
    layouts = seen.values["exemplar layouts"]
    page.tiles((304, y), (32, 32), [_paint(layout, seen.colors) for layout in layouts[:4]])
    kinds = (f"{kind} {seen.shapes[f'exemplar {kind}'][4:]}" for kind in ("layouts", "prototypes"))
    page.caption((300, below), "k exemplars", *kinds)
    page.arrow((339, y), (408, y))
    page.module((454, y), (90, 52), _GREEN, "evidence\nencoder")
    page.arrow((500, y), (515, y))
    for row, shares in enumerate(np.abs(seen.values["evidence"])):
        picture = _in_photo(_paint(shares / shares.max(), seen.colors), seen)
        page.tile((536, y + 25 * (1 - row)), (40, 22), picture, smooth=True)
    page.caption((528, below), "evidence", seen.shapes["evidence"])
    page.arrow((557, y), (572, y))
    page.module((620, y), (94, 52), _GREEN, "corrector")
    page.arrow((668, y), (683, y))
    page.tiles((716, y), (30, 23), _mask_pictures(seen, "corrected masks"))
    page.caption((690, below), "corrected logits", "masks, presence, IoU")


def _results(page: Page, seen: Observation) -> None:
    x, size = 833, (104, 78)
    page.arrow((749, 112), (779, 112))
    page.module((x, 112), (106, 52), INK, "reader")
    page.text((x, 72), "postprocess.py", color=INK, family=MONO)
    page.arrow((x, 139), (x, 164))
    overlay, vehicle = seen.photo / 255, np.ones(seen.photo.shape)
    masks = seen.values["instances"].astype(bool)
    for mask, color in reversed(list(zip(masks, seen.colors[seen.found], strict=True))):
        overlay[mask] = 0.35 * overlay[mask] + 0.65 * color
        vehicle[mask] = to_rgb(GREY)
    colors = np.concatenate([np.ones((1, 3)), seen.colors])
    pictures = {
        "instances": (overlay, seen.shapes["instances"]),
        "label map": (colors[seen.values["label map"].astype(int)], seen.shapes["label map"]),
        "vehicle ids": (vehicle, as_shape("M")),
    }
    for row, (name, (picture, shape)) in enumerate(pictures.items()):
        y = 537 - 141 * row
        page.tile((x, y), size, picture, smooth=True)
        page.caption((x, y - 45), name, shape)


def _small_graph(page: Page, seen: Observation, centre: Pair, size: Pair) -> None:
    nodes = seen.ontology.nodes
    places = place_nodes(seen.ontology, np.full((len(nodes), 2), (80.0, 40.0))).centres
    places = ((places - places.min(0)) / np.ptp(places, 0) - 0.5) * size + centre
    at = {node.name: place for node, place in zip(nodes, places, strict=True)}
    for fact in seen.ontology.relations:
        ends = zip(at[fact.subject], at[fact.object], strict=True)
        page.axes.plot(*ends, color="#9aa4ae", linewidth=0.5, zorder=2)
    white = np.ones((len(nodes) - len(seen.colors), 3))
    for place, color in zip(places, np.concatenate([seen.colors, white]), strict=True):
        edge = tuple(0.6 * color)
        page.axes.add_patch(Circle(place, 4.4, facecolor=tuple(color), edgecolor=edge, zorder=3))


def _bars(page: Page, bottom: Pair, seen: Observation) -> None:
    """Each query's presence."""
    presence = expit(seen.values["presence"])
    step = 84 / len(presence)
    for index, (share, color) in enumerate(zip(presence, seen.colors[seen.classes], strict=True)):
        corner = bottom[0] + step * (index - len(presence) / 2), bottom[1]
        page.axes.add_patch(
            Rectangle(corner, 0.8 * step, 1 + 11 * share, facecolor=color, zorder=3)
        )


def _paint(shares: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Parts (C, h, w) in [0, 1] over each other."""
    image = np.ones((*shares.shape[1:], 3))
    for share, color in zip(shares[..., None], colors, strict=True):
        image += share * (color - image)
    return image.clip(0, 1)


def _rows(vectors: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Vectors (R, 256) as rows in the colours (R, 3) of their classes."""
    strength = np.abs(vectors).reshape(len(vectors), 32, -1).mean(2)
    strength = (strength / np.quantile(strength, 0.97)).clip(0, 1)
    return 1 - strength[..., None] * (1 - colors[:, None])


def _key_picture(seen: Observation) -> np.ndarray:
    """A column, class by class."""
    key = seen.values["key"].reshape(len(seen.colors), 9, 9).mean(2)
    strength = (key / np.quantile(key, 0.97)).clip(0, 1)
    return (1 - strength[..., None] * (1 - seen.colors[:, None])).reshape(-1, 1, 3)


def _components(embedding: np.ndarray) -> np.ndarray:
    """The three principal components of (256, h, w) as red, green and blue."""
    places = embedding.reshape(len(embedding), -1).T
    first = np.linalg.svd(places - places.mean(0), full_matrices=False)[0][:, :3]
    low, high = np.quantile(first, (0.02, 0.98), axis=0)
    return ((first - low) / (high - low)).clip(0, 1).reshape(*embedding.shape[1:], 3)


def _in_photo(canvas: np.ndarray, seen: Observation) -> np.ndarray:
    """The part of a square canvas that is not padding."""
    height, width = seen.photo.shape[:2]
    return canvas[: round(len(canvas) * height / width)]


def _mask_pictures(seen: Observation, name: str) -> list[np.ndarray]:
    chosen = seen.shown_queries()
    shares = expit(seen.values[name][chosen])[..., None]
    colors = seen.colors[seen.classes[chosen]]
    return [_in_photo(1 - m * (1 - color), seen) for m, color in zip(shares, colors, strict=True)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Draw the figure of the model's architecture.")
    parser.add_argument("--output", type=Path, default=_PICTURE, metavar="PNG")
    draw(Observation(), parser.parse_args().output)


if __name__ == "__main__":
    main()
