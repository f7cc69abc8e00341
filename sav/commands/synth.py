"""``sav synth``: make images of synthetic vehicles with part annotations."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sav.errors import SAVError
from sav.files import check_new
from sav.ontology import available_ontologies
from sav.synthetic import ANNOTATION_FORMATS, BODY_TYPES, contact_sheet, generate_dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; :func:`run` executes what was chosen."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the data set")
    parser.add_argument("--train", type=int, default=2000, help="training images; %(default)s")
    parser.add_argument("--valid", type=int, default=200, help="validation images; %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes; %(default)s")
    parser.add_argument("--size", type=int, default=256, help="image side, pixels; %(default)s")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 for one a core")
    parser.add_argument(
        "--ontology", default="vehicleseg10k", choices=available_ontologies(), help="%(default)s"
    )
    parser.add_argument(
        "--annotation-format", choices=ANNOTATION_FORMATS, default="labelme", help="%(default)s"
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
    parser.add_argument("--sheet", type=Path, metavar="PNG", help=sheet)
    replaced = "replace the picture of --sheet, if there is one"
    parser.add_argument("--overwrite", action="store_true", help=replaced)


def run(args: argparse.Namespace) -> None:
    """Make the data set, the sheet, or both.

    Raises:
        SAVError: something the user can mend.
    """
    if args.out is None and args.sheet is None:
        raise SAVError("give --out, --sheet or both")
    if "none" in args.bodies and len(args.bodies) > 1:
        raise SAVError("--bodies none: no type can stand beside it")
    if args.sheet is not None:
        check_new([args.sheet], overwrite=args.overwrite)
        contact_sheet(args.sheet, ontology=args.ontology, seed=args.seed, image_size=args.size)
        sys.stdout.write(f"sheet of body types: {args.sheet}\n")
    if args.out is not None:
        generate_dataset(
            args.out,
            splits={"train": args.train, "valid": args.valid},
            seed=args.seed,
            image_size=args.size,
            workers=args.workers,
            annotation_format=args.annotation_format,
            ontology=args.ontology,
            color_masks=args.color_masks,
            bodies=[body for body in args.bodies if body != "none"],
        )
        sys.stdout.write(f"{args.train} + {args.valid} images in {args.out}\n")
