"""``sav check``: find probable faults in part annotations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sav.check.page import GENERATOR, to_html
from sav.check.photos import read_data
from sav.check.report import FORMAT, format_text, summary, to_json
from sav.check.run import check_data
from sav.commands.json_output import add_json_argument, check_own, json_output
from sav.commands.options import add_ontology_argument, add_run_arguments, count, share
from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.coco import info_of, read_coco
from sav.formats.index_mask import joined_components
from sav.formats.labels import Labels
from sav.formats.preparing import Preparation, prepare_parts
from sav.formats.reading import Reading
from sav.formats.registry import open_data
from sav.ontology import load_ontology
from sav.run_folder import WEIGHTS_FILE

if TYPE_CHECKING:
    from sav.predict.predictor import SAVPredictor

EXAMPLES = (
    "sav check datasets/dsmlr --html check.html",
    "sav check instances_train.json instances_valid.json --no-model --json check.json",
    "sav check my_labelme_folder --ontology dsmlr --no-model --strict",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; :func:`run` executes what was chosen."""
    parser.add_argument(
        "data",
        type=Path,
        nargs="+",
        metavar="DATA",
        help="part annotation files of 'sav prepare', folders of them, or annotations in any other "
        "format that it reads; all of one vocabulary. Of several the photos are compared, too",
    )
    add_ontology_argument(parser, "whose classes they have", unset="what the first file names")
    add_run_arguments(parser)
    parser.add_argument(
        "--no-model", action="store_true", help="do without a model's opinion; much faster"
    )
    add_json_argument(parser)
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write one page with a picture a finding"
    )
    parser.add_argument("--top", type=count, default=30, metavar="N", help="findings to print")
    parser.add_argument(
        "--pictures", type=count, default=200, metavar="N", help="on the page at most"
    )
    parser.add_argument(
        "--min-rank",
        type=share,
        default=0.2,
        metavar="R",
        help="leave out what ranks lower, 0 to 1",
    )
    parser.add_argument(
        "--strict", action="store_true", help="end with an error where anything is found"
    )


def run(args: argparse.Namespace) -> None:
    """Do what :func:`add_arguments` has parsed.

    Raises:
        SAVError: something the user can mend; with --strict any finding.
    """
    for path, mark in ((args.json, FORMAT), (args.html, GENERATOR)):
        check_own(path, mark)
    with TemporaryDirectory(prefix="sav-check-") as folder, json_output(args.json) as write_json:
        _check(annotation_files(args.data, args.ontology, Path(folder)), args, write_json)


def _check(files: list[Path], args: argparse.Namespace, write_json: Callable[[str], None]) -> None:
    data = read_data(files, args.ontology)
    predictor = None if args.no_model else _load(args, data.ontology.name)
    report = check_data(data, predictor, args.min_rank)
    if predictor is not None:
        report.notes.extend(_training_note(args.model))
    sys.stdout.write(format_text(report, args.top))
    write_json(to_json(report))
    if args.html is not None:
        write_atomic(args.html, to_html(report, args.pictures))
    if args.strict and report.findings:
        raise SAVError(f"--strict: {summary(report)}")


def annotation_files(paths: list[Path], ontology: str | None, folder: Path) -> list[Path]:
    """The part annotation files that DATA names.

    Args:
        paths: files and folders.
        ontology: whose classes annotations in other formats have.
        folder: gets the part annotations that are made of these.

    Raises:
        SAVError: a path is nothing, or holds no annotations that can be read.
    """
    files: list[Path] = []
    for number, path in enumerate(paths):
        found = sorted(path.glob("instances_*.json")) if path.is_dir() else [path]
        if not all(map(_is_part_annotations, found)) or not found:
            found = _prepared(path, ontology, folder / str(number))
        files += found
    return files


def _is_part_annotations(file: Path) -> bool:
    try:
        contents = read_coco(file)
    except SAVError:
        return False
    return "ontology" in info_of(contents, file)


def _prepared(data: Path, source: str | None, out: Path) -> list[Path]:
    if source is None and data.exists():
        raise SAVError(f"{data}: no part annotations; say whose classes it has with --ontology")
    form, entries = open_data(data, None, None, out)
    ontology = load_ontology(source or "")
    labels = Labels(ontology.class_names, ontology.name)
    reading = Reading(labels, min_pixels=1, joined=joined_components(ontology))
    prepare_parts(form, entries, reading, out, Preparation(ontology))
    return sorted(out.glob("instances_*.json"))


def _load(args: argparse.Namespace, vocabulary: str) -> SAVPredictor:
    from sav.predict.predictor import SAVPredictor  # noqa: PLC0415

    try:
        return SAVPredictor.from_pretrained(args.model, args.device, vocabulary, args.gallery)
    except SAVError as error:
        raise SAVError(f"{error} (--no-model checks without)") from error


def _training_note(model: Path) -> list[str]:
    from sav.modeling.weights import training_data  # noqa: PLC0415

    known = training_data(model / WEIGHTS_FILE)
    if not known:
        return []
    return [
        f"the weights of {model} are trained on: {known}. Of photos that it has learned from, a "
        "model repeats the faults: it finds fewer there"
    ]
