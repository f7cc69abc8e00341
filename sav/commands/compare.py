"""``sav compare``: predictions of any models against any truth, side by side."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sav.bench.tables import markdown, publish
from sav.commands.json_output import add_json_argument, check_own, json_output, to_json
from sav.commands.options import (
    add_images_argument,
    add_label_arguments,
    add_ontology_argument,
    add_output_argument,
    add_seed_argument,
    count,
    label_rules,
    share,
)
from sav.commands.stdin import annotations_of
from sav.drawing.parts import CONFIDENT
from sav.errors import SAVError
from sav.evaluation.average_precision import average_precision
from sav.evaluation.bootstrap import drawn_mious, drawn_precisions, draws, interval
from sav.evaluation.comparison import (
    Found,
    PhotoCounts,
    ReadShapes,
    Truth,
    counts_of,
)
from sav.evaluation.metrics import part_metrics
from sav.files import check_folder
from sav.formats.annotation_format import Entry
from sav.formats.coco import COCO, info_of, read_coco
from sav.formats.coco_results import find_coco_results, read_coco_results, read_detections
from sav.formats.entries import common_root
from sav.formats.index_mask import joined_components
from sav.formats.labels import Labels
from sav.formats.reading import Reading
from sav.formats.records import Problem
from sav.formats.registry import open_data
from sav.ontology import Ontology, load_ontology
from sav.run_folder import RESULTS_FILE

FORMAT = "sav-compare"
EXAMPLES = (
    "sav compare datasets/dsmlr/instances_valid.json mine=output/mine theirs=results.json",
    "sav compare truth_folder predictions --ontology dsmlr --images photos --json compare.json",
    "sav compare instances_valid.json results.json other=- --json",
)

_LISTED_PROBLEMS = 5
_OURS = b'{\n "truth": '
"""How results.json begins; that of other commands begins with a data set."""
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
        "others are compared with the first; one may be -, the standard input",
    )
    add_ontology_argument(parser, "whose classes they are", unset="what part annotations say")
    add_images_argument(parser, help="folder of the photos of the truth (default: beside it)")
    add_label_arguments(parser)
    shown = "parts that score less are not in the label map, which mIoU is of; 0 to 1"
    parser.add_argument("--score-threshold", type=share, default=CONFIDENT, metavar="S", help=shown)
    drawn = "draws of photos for the intervals, 0 for none"
    parser.add_argument("--draws", type=count, default=1000, metavar="N", help=drawn)
    add_seed_argument(parser, "of the draws")
    add_output_argument(parser, "gets table.md and results.json", default=Path("output/compare"))
    add_json_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Compare.

    Raises:
        SAVError: a file is not usable, or no photo of the truth is.
    """
    _check_output(args)
    with (
        annotations_of(args.predictions) as predictions,
        json_output(args.json) as write_json,
        TemporaryDirectory(prefix="sav-compare-") as folder,
    ):
        write_json(to_json(FORMAT, _compare(_named(predictions), args, Path(folder))))


def _check_output(args: argparse.Namespace) -> None:
    check_own(args.json, FORMAT)
    results = args.output / RESULTS_FILE
    if results.exists() and not results.read_bytes().startswith(_OURS):
        raise SAVError(f"{results}: exists, and is not of 'sav compare'; choose another --output")
    check_folder(args.output)


def _compare(
    named: Mapping[str, Path], args: argparse.Namespace, folder: Path
) -> dict[str, object]:
    """Read, count and publish; `folder` gets what is unpacked."""
    form, entries = open_data(args.truth, args.images, None, folder / "truth")
    ontology = load_ontology(args.ontology or _stated_ontology(args.truth))
    labels = Labels(ontology.class_names, ontology.name, *label_rules(args))
    reading = Reading(labels, min_pixels=1, joined=joined_components(ontology))
    truth = Truth.read(form, entries, reading)
    _say(str(args.truth), truth.problems)
    photos = args.images or common_root(entries)
    instances = sorted({entry.source for entry in entries}) if form is COCO else []
    counts = {}
    for number, (name, path) in enumerate(named.items()):
        read, predicted = _find(path, photos, instances, folder / str(number))
        found = Found(read, predicted, reading, truth)
        _check_photos(path, found, truth)
        counts[name] = counts_of(truth, found, ontology.class_names, args.score_threshold)
        _say(f"{name}: {found.summary(truth)}", found.problems)
    figures = {name: _figures(photos, ontology) for name, photos in counts.items()}
    drawn = _drawn(counts, ontology, args) if args.draws else {}
    raw = _raw(figures, drawn, args)
    publish(args.output, _table(figures, drawn, len(truth.photos)), raw)
    return raw


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
        stated = info_of(read_coco(truth), truth).get("ontology")
    if stated is None:
        raise SAVError(f"{truth}: does not say whose classes it has; name them with --ontology")
    return stated


def _find(
    path: Path, photos: Path, instances: Sequence[str], folder: Path
) -> tuple[ReadShapes, list[Entry]]:
    """What reads predictions, and of which photos they are.

    Args:
        path: of the predictions.
        photos: folder of the photos of the truth.
        instances: the COCO files of the truth.
        folder: gets what is unpacked.
    """
    detections = read_detections(path)
    if detections is None:
        form, entries = open_data(path, photos, None, folder)
        return form.read, entries
    if len(instances) != 1:
        raise SAVError(
            f"{path}: COCO results are compared with one COCO file, whose ids they have, but the "
            f"truth has {len(instances)}; name that file as TRUTH"
        )
    return read_coco_results, find_coco_results(path, detections, Path(instances[0]))


def _check_photos(path: Path, found: Found, truth: Truth) -> None:
    """Refuse predictions of other photos: all of them would count as found nowhere."""
    if found.unmatched and not found.photos:
        raise SAVError(
            f"{path}: none of its photos, such as {found.unmatched[0]}, is one of the truth, such "
            f"as {next(iter(truth.photos))}; equal names are told apart by their folders"
        )


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
