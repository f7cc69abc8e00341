"""``sav synth``: make images of synthetic vehicles with part annotations."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sav.commands.options import (
    add_output_argument,
    add_overwrite_argument,
    add_seed_argument,
    add_workers_argument,
    count,
)
from sav.errors import SAVError
from sav.files import check_new
from sav.ontology import available_ontologies
from sav.synthetic import ANNOTATION_FORMATS, BODY_TYPES, contact_sheet, generate_dataset

EXAMPLES = (
    "sav synth --output datasets/synthetic",
    "sav synth --ontology vehicle --train 3000 --valid 200 --seed 11 --output datasets/synthetic",
    "sav synth --bodies none --train 300 --valid 100 --output datasets/empty",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; :func:`run` executes what was chosen."""
    add_output_argument(parser, "folder of the data set")
    numbers = {"type": count, "metavar": "N"}
    parser.add_argument("--train", default=2000, help="training images", **numbers)
    parser.add_argument("--valid", default=200, help="validation images", **numbers)
    add_seed_argument(parser, "same seed, same bytes")
    parser.add_argument("--size", default=256, help="image side in pixels", **numbers)
    add_workers_argument(parser)
    known = available_ontologies()
    shipped = f"whose classes are annotated: {', '.join(known)}"
    parser.add_argument(
        "--ontology", choices=known, default="vehicleseg10k", metavar="NAME", help=shipped
    )
    parser.add_argument(
        "--annotation-format", choices=ANNOTATION_FORMATS, default="labelme", help="what is written"
    )
    colors = "with index_png: coloured masks beside them"
    parser.add_argument("--color-masks", action="store_true", help=colors)
    parser.add_argument(
        "--bodies",
        nargs="+",
        choices=(*BODY_TYPES, "none"),
        default=list(BODY_TYPES),
        metavar="TYPE",
        help=f"types of vehicles that occur: {', '.join(BODY_TYPES)}, or none (default: all)",
    )
    sheet = "also, or only, draw a sheet of all body types"
    parser.add_argument("--sheet", type=Path, metavar="FILE", help=sheet)
    add_overwrite_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Make the data set, the sheet, or both.

    Raises:
        SAVError: something the user can mend.
    """
    if args.output is None and args.sheet is None:
        raise SAVError("give --out, --sheet or both")
    if "none" in args.bodies and len(args.bodies) > 1:
        raise SAVError("--bodies none: no type can stand beside it")
    if args.sheet is not None:
        check_new([args.sheet], overwrite=args.overwrite)
        contact_sheet(args.sheet, ontology=args.ontology, seed=args.seed, image_size=args.size)
        sys.stdout.write(f"sheet of body types: {args.sheet}\n")
    if args.output is not None:
        generate_dataset(
            args.output,
            splits={"train": args.train, "valid": args.valid},
            seed=args.seed,
            image_size=args.size,
            workers=args.workers,
            annotation_format=args.annotation_format,
            ontology=args.ontology,
            color_masks=args.color_masks,
            bodies=[body for body in args.bodies if body != "none"],
        )
        sys.stdout.write(f"{args.train} + {args.valid} images in {args.output}\n")
