"""``sav convert``: annotations, and predictions, from one format to another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sav.commands.options import (
    add_group_argument,
    add_label_arguments,
    add_record_arguments,
    label_rules,
)
from sav.errors import SAVError
from sav.formats.converting import convert
from sav.formats.index_mask import joined_components
from sav.formats.labels import Labels
from sav.formats.reading import Reading
from sav.formats.registry import FORMATS, open_data
from sav.ontology import load_ontology


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; :func:`run` executes what was chosen."""
    parser.add_argument("source", type=Path, metavar="FROM", help="folder, file, zip or tar")
    parser.add_argument("out", type=Path, metavar="TO", help="folder to write to, new or empty")
    written = [name for name, form in FORMATS.items() if form.write]
    parser.add_argument("--to", choices=written, required=True, help="format to write")
    source = "format of FROM, where it is not found out"
    parser.add_argument("--from", dest="form", choices=list(FORMATS), help=source)
    images = "folder of the photos, where they are not beside their annotations"
    parser.add_argument("--images", type=Path, help=images)
    ontology = "whose classes they are, name or YAML file; any, without it"
    parser.add_argument("--ontology", help=ontology)
    add_label_arguments(parser)
    add_group_argument(parser)
    add_record_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Convert.

    Raises:
        SAVError: the input is not usable, or the output folder is not empty.
    """
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise SAVError(f"{args.out}: exists and is not empty; choose another folder")
    known, name, joined = None, "", {}
    if args.ontology:
        ontology = load_ontology(args.ontology)
        known, name, joined = ontology.class_names, ontology.name, joined_components(ontology)
    labels = Labels(known, name, *label_rules(args))
    reading = Reading(labels, group=args.group_id, min_pixels=1, joined=joined)
    form, entries = open_data(args.source, args.images, args.form, args.out)
    sys.stdout.write(f"{args.source}: read as {form.title}\n")
    options = {"workers": args.workers, "strict": args.strict}
    convert(form, entries, reading, FORMATS[args.to], args.out, **options)
