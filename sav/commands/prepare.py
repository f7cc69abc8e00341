"""The converters' command lines, shared by ``sav prepare`` and the scripts in datasets/."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sav.errors import SAVError
from sav.formats.coco_parts import CocoSource, convert_coco
from sav.formats.empty import convert_empty
from sav.formats.painting import FOREGROUND_MODES
from sav.formats.vehicleseg10k import VehicleSegSource, convert_vehicleseg10k
from sav.ontology import load_ontology
from sav.synthetic.plated import NAME as PLATED
from sav.synthetic.plated import write_plated


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser one sub-command a data set; :func:`run` executes what was chosen."""
    commands = parser.add_subparsers(required=True, metavar="DATASET")
    for name, (summary, add_options) in _CONVERTERS.items():
        add_options(commands.add_parser(name, help=summary, description=summary))


def run(args: argparse.Namespace) -> None:
    """Run the converter that was chosen.

    Raises:
        SAVError: the input is not usable.
    """
    args.convert(args)


def main(dataset: str) -> None:
    """Entry point of a script that prepares one data set."""
    summary, add_options = _CONVERTERS[dataset]
    parser = argparse.ArgumentParser(description=summary)
    add_options(parser)
    run(parser.parse_args())


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=_count, default=0, help="processes; 0 for one a core")
    strict = "stop at the first record that cannot be used"
    parser.add_argument("--strict", action="store_true", help=strict)


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def _add_vehicleseg10k(parser: argparse.ArgumentParser) -> None:
    root = "folder with images/ and annotations/"
    parser.add_argument("--root", type=Path, required=True, help=root)
    parser.add_argument("--out", type=Path, help="output folder (default: ROOT/coco)")
    parser.add_argument("--splits", nargs="+", default=["train", "valid"], metavar="SPLIT")
    parser.add_argument(
        "--foreground",
        choices=FOREGROUND_MODES,
        default="rest",
        help="a Foreground polygon covers the whole vehicle; keep what the other parts leave of "
        "it (rest, the default), or all of it (whole)",
    )
    ontology = "name or YAML file (default: %(default)s)"
    parser.add_argument("--ontology", default="vehicleseg10k", help=ontology)
    _add_common(parser)
    parser.set_defaults(convert=_convert_vehicleseg10k)


def _convert_vehicleseg10k(args: argparse.Namespace) -> None:
    source = VehicleSegSource(args.root, load_ontology(args.ontology), args.foreground)
    options = {"splits": args.splits, "workers": args.workers, "strict": args.strict}
    convert_vehicleseg10k(source, args.out or args.root / "coco", **options)


def _add_dsmlr(parser: argparse.ArgumentParser) -> None:
    root = "folder with instances_train.json and JPEGImages/"
    parser.add_argument("--root", type=Path, required=True, help=root)
    _add_split(parser, valid=60)
    parser.set_defaults(convert=_convert_dsmlr)


def _convert_dsmlr(args: argparse.Namespace) -> None:
    source = CocoSource(
        args.root / "instances_train.json",
        args.root / "JPEGImages",
        load_ontology("dsmlr"),
        # Upstream stores all wheels of a photo as one annotation of several polygons.
        split_classes=frozenset({"wheel"}),
        # Specks of a few pixels are slips of the annotator's hand.
        min_pixels=16,
    )
    _convert_split(source, args)


def _add_coco(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, required=True, help="COCO instances file")
    parser.add_argument("--images", type=Path, required=True, help="folder of its images")
    parser.add_argument("--ontology", required=True, help="name or YAML file")
    split = "classes of which each polygon becomes one instance"
    parser.add_argument("--split-classes", nargs="*", default=[], metavar="CLASS", help=split)
    parser.add_argument(
        "--group-by-folder",
        action="store_true",
        help="the photos in one sub-folder show one vehicle, such as the frames of a video, and do "
        'not learn from one another; an image field "group" says the same (docs/gallery.md)',
    )
    _add_split(parser, valid=0)
    parser.set_defaults(convert=_convert_coco)


def _convert_coco(args: argparse.Namespace) -> None:
    source = CocoSource(
        args.json,
        args.images,
        load_ontology(args.ontology),
        frozenset(args.split_classes),
        group_by_folder=args.group_by_folder,
    )
    _convert_split(source, args)


def _add_empty(parser: argparse.ArgumentParser) -> None:
    images = "folder of images, none of which shows a vehicle"
    parser.add_argument("--images", type=Path, required=True, help=images)
    ontology = "whose parts are not there, name or YAML file (default: %(default)s)"
    parser.add_argument("--ontology", default="vehicle", help=ontology)
    _add_split(parser, valid=0)
    parser.set_defaults(convert=_convert_empty)


def _convert_empty(args: argparse.Namespace) -> None:
    options = {name: getattr(args, name) for name in ("valid", "seed", "workers", "strict")}
    convert_empty(args.images, load_ontology(args.ontology), args.out, **options)


def _add_plates(parser: argparse.ArgumentParser) -> None:
    source = "DSMLR's part annotations, as 'sav prepare dsmlr' writes them"
    parser.add_argument("--json", type=Path, required=True, help=source)
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--seed", type=_count, default=0, help="of the plates (default: 0)")
    parser.set_defaults(convert=_convert_plates)


def _convert_plates(args: argparse.Namespace) -> None:
    count = write_plated(args.json, args.out, seed=args.seed)
    view = args.out / f"{PLATED}.yaml"
    sys.stdout.write(f"{count} photos with plates in {args.out}; MODEL.SAV.VIEWS \"('{view}',)\"\n")


def _add_split(parser: argparse.ArgumentParser, valid: int) -> None:
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--seed", type=int, default=0, help="of the split (default: %(default)s)")
    held_out = "images held out (default: %(default)s)"
    parser.add_argument("--valid", type=_count, default=valid, help=held_out)
    _add_common(parser)


def _convert_split(source: CocoSource, args: argparse.Namespace) -> None:
    if not source.image_root.is_dir():
        raise SAVError(f"{source.image_root}: there is no such image folder")
    options = {name: getattr(args, name) for name in ("valid", "seed", "workers", "strict")}
    convert_coco(source, args.out, **options)


_CONVERTERS = {
    "vehicleseg10k": (
        "VehicleSeg10K (LabelMe polygons or index masks) to COCO part annotations",
        _add_vehicleseg10k,
    ),
    "dsmlr": ("DSMLR Car Parts to COCO part annotations, with a validation split", _add_dsmlr),
    "coco": ("any COCO instances file to COCO part annotations", _add_coco),
    "plates": ("DSMLR's photos with licence plates put on their bumpers", _add_plates),
    "empty": ("photos without a vehicle to annotation files without annotations", _add_empty),
}
"""What it converts, and what declares its options and sets ``convert``."""
