"""``sav convert``: annotations, and predictions, from one format to another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sav.commands.options import (
    add_group_argument,
    add_images_argument,
    add_label_arguments,
    add_ontology_argument,
    add_record_arguments,
    label_rules,
)
from sav.commands.stdin import annotations_of
from sav.files import new_folder
from sav.formats.converting import convert
from sav.formats.index_mask import joined_components
from sav.formats.labels import Labels
from sav.formats.reading import Reading
from sav.formats.registry import FORMATS, open_data
from sav.ontology import load_ontology

EXAMPLES = (
    "sav convert annotations.zip labelme --to labelme",
    "sav convert output/predictions drafts --to cvat --images photos",
    "sav convert - yolo --to yolo --images photos --ontology dsmlr < annotations.json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; :func:`run` executes what was chosen."""
    source = "folder, file, zip or tar; - for the standard input"
    parser.add_argument("source", metavar="FROM", help=source)
    parser.add_argument("out", type=Path, metavar="TO", help="folder to write to, new or empty")
    written = [name for name, form in FORMATS.items() if form.write]
    parser.add_argument("--to", choices=written, required=True, help="format to write")
    source = "format of FROM, where it is not found out"
    parser.add_argument("--from", dest="form", choices=list(FORMATS), help=source)
    add_images_argument(parser)
    add_ontology_argument(parser, "whose classes they are", unset="any")
    add_label_arguments(parser)
    add_group_argument(parser)
    add_record_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Convert.

    Raises:
        SAVError: the input is not usable, or the output folder is not empty.
    """
    with new_folder(args.out):
        _convert(args)


def _convert(args: argparse.Namespace) -> None:
    known, name, joined = None, "", {}
    if args.ontology:
        ontology = load_ontology(args.ontology)
        known, name, joined = ontology.class_names, ontology.name, joined_components(ontology)
    labels = Labels(known, name, *label_rules(args))
    reading = Reading(labels, group=args.group_id, min_pixels=1, joined=joined)
    with annotations_of([args.source]) as (source,):
        form, entries = open_data(Path(source), args.images, args.form, args.out)
        sys.stdout.write(f"{args.source}: read as {form.title}\n")
        options = {"workers": args.workers, "strict": args.strict}
        convert(form, entries, reading, FORMATS[args.to], args.out, **options)
