"""``sav assign``: say on which part of which vehicle damage, dirt or anything else lies."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from sav.commands.options import (
    add_images_argument,
    add_ontology_argument,
    add_output_argument,
    add_overwrite_argument,
    add_run_arguments,
    share,
)
from sav.commands.stdin import annotations_of
from sav.drawing.parts import CONFIDENT, keep_confident
from sav.errors import SAVError
from sav.files import check_new, files_together, write_atomic
from sav.formats.annotation_format import AnnotationFormat, Entry
from sav.formats.entries import below, common_root, ready
from sav.formats.images import read_rgb
from sav.formats.index_mask import joined_components
from sav.formats.json_files import read_json
from sav.formats.label_maps import MASKS
from sav.formats.labels import Labels
from sav.formats.mask_names import MaskNames
from sav.formats.masks import encode_mask
from sav.formats.reading import Reading, read_entry
from sav.formats.records import PartInstance, Problem, RecordResult
from sav.formats.registry import FORMATS, open_data
from sav.formats.vehicles import assign_vehicles
from sav.inspection.assigning import CLEAR, LEAST, Assigner
from sav.inspection.assignments import AssignedPhoto, to_coco, to_json
from sav.inspection.assignments_page import AssignmentsPage
from sav.ontology import Ontology, load_ontology
from sav.run_folder import SHIPPED

if TYPE_CHECKING:
    from sav.d2 import Instances

_LISTED_PROBLEMS = 10
_JSON, _COCO, _PAGE = "assignments.json", "findings.json", "assignments.html"
_VALUES = 255
"""The largest value of a label map without a file of names."""

PartsOf = Callable[[Entry, RecordResult], list[PartInstance]]
"""The parts of a photo; what is wrong with them goes to the result."""


EXAMPLES = (
    "sav assign damage.json --images photos",
    "sav assign damage_masks --images photos --labels scratch dent --output output/damage",
    "sav assign - --images photos --parts output/predictions --overwrite < damage.json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; :func:`run` executes what was chosen."""
    findings = (
        "masks of anything: COCO, LabelMe, label maps and what else 'sav convert' reads; - for the "
        "standard input"
    )
    parser.add_argument("findings", metavar="FINDINGS", help=findings)
    source = "format of FINDINGS, where it is not found out"
    parser.add_argument("--from", dest="form", choices=list(FORMATS), help=source)
    add_images_argument(parser, help="folder of the photos (default: beside the findings)")
    parser.add_argument(
        "--labels",
        nargs="+",
        metavar="NAME",
        help="of label maps without names: what their values 1, 2, ... are; a single name is that "
        "of every value, 255 too",
    )
    parser.add_argument(
        "--parts",
        type=Path,
        metavar="DATA",
        help="annotated or predicted parts, in any format of 'sav convert' or as 'sav predict "
        "--format json' writes them; the model predicts them",
    )
    unset = "what --parts says, or the model's own"
    add_ontology_argument(parser, "whose classes the parts are", unset=unset)
    add_run_arguments(parser)
    scores = "leave out parts that score less"
    parser.add_argument(
        "--score-threshold", type=share, default=CONFIDENT, metavar="S", help=scores
    )
    least = "'no part' where less of a finding lies on parts"
    parser.add_argument("--least", type=float, default=LEAST, metavar="SHARE", help=least)
    clear = "'ambiguous' where no part holds so many times as much as any other"
    parser.add_argument("--clear", type=float, default=CLEAR, metavar="TIMES", help=clear)
    folder = f"gets {_JSON}, {_COCO} and {_PAGE}"
    add_output_argument(parser, folder, default=Path("output/assign"))
    add_overwrite_argument(parser)
    strict = "stop at the first record that cannot be used"
    parser.add_argument("--strict", action="store_true", help=strict)


def run(args: argparse.Namespace) -> None:
    """Assign.

    Raises:
        SAVError: something the user can mend; none of the three files is written then.
    """
    with annotations_of([args.findings]) as (findings,):
        _assign_all(args, Path(findings))


def _assign_all(args: argparse.Namespace, findings: Path) -> None:
    """Assign the findings of a file or a folder."""
    _check_files(args, findings)
    form, entries = open_data(findings, args.images, args.form, args.output)
    if args.labels:
        entries = _named(form, entries, args.labels)
    entries = ready(form, entries, args.output / "images")
    root = common_root(entries)
    ontology, parts_of, source = _given(args, root) if args.parts else _predicted(args)
    assigner = Assigner(ontology, args.least, args.clear)
    page = AssignmentsPage(assigner, source)
    photos, problems = [], []
    for entry in tqdm(below(root, entries), desc="assign", unit="photo", disable=None):
        photo, wrong = _assigned(form, entry, parts_of, assigner, page)
        problems += wrong
        if args.strict and problems:
            raise SAVError(str(problems[0]))
        photos += [] if photo is None else [photo]
    if not photos:
        first = f"; the first problem is {problems[0]}" if problems else ""
        raise SAVError(f"{args.findings}: no photo can be used{first}")
    contents = {
        _JSON: to_json(photos, assigner, source, problems),
        _COCO: to_coco(photos, root, args.output),
    }
    with files_together(args.output) as folder:
        for name, content in contents.items():
            write_atomic(folder / name, json.dumps(content, indent=1, allow_nan=False) + "\n")
        write_atomic(folder / _PAGE, page.render(problems))
    _say(photos, problems, args.output)


def _check_files(args: argparse.Namespace, findings: Path) -> None:
    """Refuse to write in the place of what is read, or of what is there."""
    for given in filter(None, (findings, args.parts)):
        folder = given if given.is_dir() else given.parent
        if folder.resolve() == args.output.resolve():
            raise SAVError(f"{args.output}: {given} is read from there; choose another --output")
    files = [args.output / name for name in (_JSON, _COCO, _PAGE)]
    check_new(files, overwrite=args.overwrite)


def _assigned(
    form: AnnotationFormat,
    entry: Entry,
    parts_of: PartsOf,
    assigner: Assigner,
    page: AssignmentsPage,
) -> tuple[AssignedPhoto | None, list[Problem]]:
    """The photo, which is on the page then, and what is wrong with it and its findings.

    None where it cannot be used.
    """
    result = read_entry(form, Reading(min_pixels=1), entry)
    if result.image is None:
        return None, result.problems
    try:
        # Nothing is asked of the parts of a photo without findings.
        parts = parts_of(entry, result) if result.instances else []
        sides, assigned = assigner.seen_sides(parts), assigner(result.instances, parts)
        size = result.image["width"], result.image["height"]
        photo = AssignedPhoto(entry.image, entry.name, *size, parts, sides, assigned)
        page.add(photo)
    except SAVError as error:
        result.skip(entry.source, error, entry.name)
        return None, result.problems
    return photo, result.problems


def _named(form: AnnotationFormat, entries: Sequence[Entry], labels: list[str]) -> list[Entry]:
    """Label maps with names of their values."""
    if form is not MASKS:
        raise SAVError(f"--labels: FINDINGS are {form.title}, which has labels of its own")
    values = dict(enumerate(labels, start=1))
    if len(labels) == 1:
        values = dict.fromkeys(range(1, _VALUES + 1), labels[0])
    names = MaskNames("--labels", values)
    return [
        entry
        if entry.content is None
        else replace(entry, content=replace(entry.content, names=names))
        for entry in entries
    ]


def _predicted(args: argparse.Namespace) -> tuple[Ontology, PartsOf, str]:
    from sav.predict.predictor import SAVPredictor  # noqa: PLC0415

    predictor = SAVPredictor.from_pretrained(args.model, args.device, args.ontology, args.gallery)
    names = predictor.class_names

    def parts_of(entry: Entry, result: RecordResult) -> list[PartInstance]:
        del result
        found: Instances = keep_confident(predictor(read_rgb(entry.image)), args.score_threshold)
        columns = found.pred_classes.tolist(), found.vehicle_ids.tolist(), found.scores.tolist()
        return [
            PartInstance(names[class_id], encode_mask(mask), vehicle_id, score)
            for mask, class_id, vehicle_id, score in zip(
                found.pred_masks.numpy(), *columns, strict=True
            )
            if np.any(mask)
        ]

    model = "the shipped model" if args.model == SHIPPED else args.model.resolve().name
    return predictor.ontology, parts_of, f"predicted by {model}"


def _given(args: argparse.Namespace, photos: Path) -> tuple[Ontology, PartsOf, str]:
    ontology = load_ontology(args.ontology or _stated_ontology(args.parts))
    form, entries = open_data(args.parts, args.images or photos, None, args.output / "parts")
    by_photo = {os.path.realpath(one.image): one for one in entries if one.image is not None}
    labels = Labels(ontology.class_names, ontology.name)
    reading = Reading(labels, min_pixels=1, joined=joined_components(ontology))
    bodies = {ontology.class_names[i] for i in ontology.body_ids}

    def parts_of(entry: Entry, result: RecordResult) -> list[PartInstance]:
        own = by_photo.get(os.path.realpath(entry.image))
        if own is None:
            raise SAVError(f"{args.parts} has no parts of it")
        read = read_entry(form, reading, own)
        result.problems += read.problems
        if read.image is None:
            raise SAVError("none of its parts can be used")
        sure = [p for p in read.instances if p.score is None or p.score >= args.score_threshold]
        return assign_vehicles(sure, bodies)

    return ontology, parts_of, str(args.parts)


def _stated_ontology(parts: Path) -> str:
    """What part annotations, or predictions, say."""
    files = sorted(parts.glob("*.json")) if parts.is_dir() else [parts]
    contents = read_json(files[0]) if files and files[0].suffix == ".json" else None
    stated = None
    if isinstance(contents, dict):
        info = contents.get("info")
        stated = contents.get("ontology") or (
            info.get("ontology") if isinstance(info, dict) else None
        )
    if not isinstance(stated, str):
        raise SAVError(f"{parts}: does not say whose classes it has; name them with --ontology")
    return stated


def _say(photos: Sequence[AssignedPhoto], problems: Sequence[Problem], output: Path) -> None:
    counts = Counter(one.status for photo in photos for one in photo.assignments)
    found = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    total = f"{_some(len(photos), 'photo')}, {_some(counts.total(), 'finding')}"
    lines = [total + (f": {found}" if found else "")]
    lines += [f"skipped: {problem}" for problem in problems[:_LISTED_PROBLEMS]]
    if len(problems) > _LISTED_PROBLEMS:
        lines.append(f"... and {len(problems) - _LISTED_PROBLEMS} more, all in {output / _JSON}")
    sys.stdout.write("\n".join([*lines, f"written to {output}"]) + "\n")


def _some(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
