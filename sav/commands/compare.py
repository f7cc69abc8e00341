"""``sav compare``: predictions of any models against any truth, side by side."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sav.bench.tables import markdown, publish
from sav.commands.options import add_label_arguments, label_rules
from sav.drawing.parts import CONFIDENT
from sav.errors import SAVError
from sav.evaluation.average_precision import average_precision
from sav.evaluation.bootstrap import drawn_mious, drawn_precisions, draws, interval
from sav.evaluation.comparison import Found, PhotoCounts, Truth, counts_of
from sav.evaluation.metrics import part_metrics
from sav.formats.coco import read_coco
from sav.formats.coco_results import find_coco_results, is_coco_results, read_coco_results
from sav.formats.entries import common_root
from sav.formats.index_mask import joined_components
from sav.formats.labels import Labels
from sav.formats.reading import Reading
from sav.formats.records import Problem
from sav.formats.registry import open_data
from sav.ontology import Ontology, load_ontology

_LISTED_PROBLEMS = 5
_COLUMNS = ("mIoU", "mask AP", "AP50")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; :func:`run` executes what was chosen."""
    truth = "annotations in any format of 'sav prepare', or part annotations"
    parser.add_argument("truth", type=Path, metavar="TRUTH", help=truth)
    parser.add_argument(
        "predictions",
        nargs="+",
        metavar="[NAME=]PATH",
        help="COCO results (of a COCO truth), or predictions in any format of 'sav prepare'; the "
        "others are compared with the first",
    )
    ontology = "whose classes they are, name or YAML file; what part annotations say"
    parser.add_argument("--ontology", metavar="NAME", help=ontology)
    parser.add_argument("--images", type=Path, help="folder of the photos of the truth")
    add_label_arguments(parser)
    shown = "parts that score less are not in the label map, which mIoU is of; %(default)s"
    parser.add_argument("--score-threshold", type=float, default=CONFIDENT, metavar="S", help=shown)
    drawn = "draws of photos for the intervals, 0 for none; %(default)s"
    parser.add_argument("--draws", type=int, default=1000, metavar="N", help=drawn)
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    folder = "gets table.md and results.json"
    parser.add_argument("--output", type=Path, default=Path("output/compare"), help=folder)


def run(args: argparse.Namespace) -> None:
    """Compare.

    Raises:
        SAVError: a file is not usable, or no photo of the truth is.
    """
    named = _named(args.predictions)
    form, entries = open_data(args.truth, args.images, None, args.output)
    ontology = load_ontology(args.ontology or _stated_ontology(args.truth))
    labels = Labels(ontology.class_names, ontology.name, *label_rules(args))
    reading = Reading(labels, min_pixels=1, joined=joined_components(ontology))
    truth = Truth.read(form, entries, reading)
    _say(str(args.truth), truth.problems)
    photos = args.images or common_root(entries)
    counts = {}
    for name, path in named.items():
        found = _find(path, photos, args, reading)
        counts[name] = counts_of(truth, found, ontology.class_names, args.score_threshold)
        _say(f"{name}: {found.summary(truth)}", found.problems)
    figures = {name: _figures(photos, ontology) for name, photos in counts.items()}
    drawn = _drawn(counts, ontology, args) if args.draws else {}
    publish(args.output, _table(figures, drawn, len(truth.photos)), _raw(figures, drawn, args))


def _named(predictions: Sequence[str]) -> dict[str, Path]:
    """Paths by name: what stands before "=", or else the name of the file or folder."""
    named: dict[str, Path] = {}
    for text in predictions:
        name, _, path = text.rpartition("=")
        name = name or Path(path).stem or path
        if name in named:
            raise SAVError(f"two predictions are called {name}; give names, NAME=PATH")
        if not Path(path).exists():
            raise SAVError(f"{path}: there is no such file or folder")
        named[name] = Path(path)
    return named


def _stated_ontology(truth: Path) -> str:
    stated = None
    if truth.is_file() and truth.suffix.lower() == ".json":
        stated = (read_coco(truth).get("info") or {}).get("ontology")
    if not isinstance(stated, str):
        raise SAVError(f"{truth}: does not say whose classes it has; name them with --ontology")
    return stated


def _find(path: Path, photos: Path, args: argparse.Namespace, reading: Reading) -> Found:
    if is_coco_results(path):
        return Found(read_coco_results, find_coco_results(path, args.truth), reading)
    form, entries = open_data(path, photos, None, args.output / path.stem)
    return Found(form.read, entries, reading)


def _say(what: str, problems: Sequence[Problem]) -> None:
    lines = [what, *(f"  skipped: {problem}" for problem in problems[:_LISTED_PROBLEMS])]
    if len(problems) > _LISTED_PROBLEMS:
        lines.append(f"  ... {len(problems)} in all")
    sys.stdout.write("\n".join(lines) + "\n")


def _figures(photos: Sequence[PhotoCounts], ontology: Ontology) -> dict[str, float]:
    precision = average_precision([photo.segm for photo in photos], ontology.class_names)
    parts = part_metrics((photo.confusion for photo in photos), ontology)
    return {
        "mIoU": parts["mIoU"],
        "mask AP": precision["AP"],
        "AP50": precision["AP50"],
        "AP75": precision["AP75"],
        "mAcc": parts["mAcc"],
        "side confusion": parts["side_confusion"],
        **{name: value for name, value in parts.items() if name.startswith("IoU-")},
        **{name: value for name, value in precision.items() if name.startswith("AP-")},
    }


Drawn = dict[str, dict[str, np.ndarray]]
"""By model and column, a figure for each draw."""


def _drawn(
    counts: dict[str, list[PhotoCounts]], ontology: Ontology, args: argparse.Namespace
) -> Drawn:
    """The columns of all draws, the same draws for each model."""
    (photos, *_) = (len(one) for one in counts.values())
    weights = draws(photos, args.draws, args.seed)
    drawn: Drawn = {}
    for name, one in counts.items():
        confusions = np.array([photo.confusion for photo in one])
        precisions = drawn_precisions([photo.segm for photo in one], len(ontology), weights)
        columns = drawn_mious(confusions, weights), precisions.mean(axis=1), precisions[:, 0]
        drawn[name] = dict(zip(_COLUMNS, columns, strict=True))
    return drawn


def _table(figures: dict[str, dict[str, float]], drawn: Drawn, photos: int) -> str:
    """Models as rows; the others' differences to the first in columns of their own."""
    first = next(iter(figures))
    rows = []
    for name, one in figures.items():
        row = [name, *(_cell(one[c], drawn.get(name, {}).get(c)) for c in _COLUMNS)]
        if name != first:
            row += [_difference(figures, drawn, (name, first), column) for column in _COLUMNS]
        rows.append(row)
    headers = ["model", *_COLUMNS]
    if len(figures) > 1:
        headers += [f"Δ {column}" for column in _COLUMNS]
    note = f"Percent, of {photos} photos."
    if drawn:
        note += " In brackets what 95% of draws of as many photos give, the same for all models."
    if len(figures) > 1:
        note += f" Δ: difference to '{first}'."
    return f"{markdown(headers, rows)}\n\n{note}"


def _difference(
    figures: dict[str, dict[str, float]], drawn: Drawn, pair: tuple[str, str], column: str
) -> str:
    one, other = pair
    draws_of_both = drawn[one][column] - drawn[other][column] if drawn else None
    return _cell(figures[one][column] - figures[other][column], draws_of_both, sign="+")


def _cell(value: float, drawn: np.ndarray | None, sign: str = "") -> str:
    if np.isnan(value):
        return "-"
    text = f"{value:{sign}.1f}"
    if drawn is None or np.isnan(drawn).all():
        return text
    low, high = interval(drawn)
    return f"{text} ({low:{sign}.1f} to {high:{sign}.1f})"


def _raw(
    figures: dict[str, dict[str, float]], drawn: Drawn, args: argparse.Namespace
) -> dict[str, object]:
    def plain(value: float) -> float | None:
        return None if np.isnan(value) else round(float(value), 4)

    return {
        "truth": str(args.truth),
        "models": {
            name: {
                "figures": {metric: plain(value) for metric, value in one.items()},
                "intervals": {
                    column: [plain(end) for end in interval(values)]
                    for column, values in drawn.get(name, {}).items()
                    if not np.isnan(values).all()
                },
            }
            for name, one in figures.items()
        },
    }
