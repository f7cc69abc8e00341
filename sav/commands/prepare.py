"""The converters' command lines, shared by ``sav prepare`` and the scripts in datasets/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sav.commands.help import examples
from sav.commands.options import (
    add_annotations_argument,
    add_group_argument,
    add_images_argument,
    add_label_arguments,
    add_ontology_argument,
    add_output_argument,
    add_record_arguments,
    add_seed_argument,
    count,
    label_rules,
)
from sav.formats.annotation_format import AnnotationFormat, Entry
from sav.formats.coco import COCO, find_in_file
from sav.formats.empty import convert_empty
from sav.formats.image_names import ImageFolder
from sav.formats.index_mask import joined_components
from sav.formats.labels import Labels
from sav.formats.painting import FOREGROUND_MODES
from sav.formats.preparing import Preparation, prepare_parts
from sav.formats.reading import Reading
from sav.formats.registry import FORMATS, open_data
from sav.formats.vehicleseg10k import VehicleSegSource, convert_vehicleseg10k
from sav.ontology import Ontology, load_ontology
from sav.synthetic.plated import NAME as PLATED
from sav.synthetic.plated import write_plated

_EXAMPLE = "sav prepare {} --data annotations --ontology dsmlr --output datasets/mine --valid 20"
_EXAMPLES = {
    "auto": (
        "sav prepare auto --data annotations.zip --ontology dsmlr --output datasets/mine",
        "sav prepare auto --data labels --images photos --ontology my_parts.yaml "
        "--rename tyre=wheel --output datasets/mine --valid 20",
    ),
    "coco": (
        "sav prepare coco --annotations instances.json --images photos --ontology vehicle "
        "--output datasets/mine",
    ),
    "vehicleseg10k": (
        "sav prepare vehicleseg10k --root datasets/vehicleseg10k",
        "sav prepare vehicleseg10k --root datasets/synthetic --ontology vehicle --splits train",
    ),
    "dsmlr": ("sav prepare dsmlr --root dsmlr_carparts --output datasets/dsmlr",),
    "plates": (
        "sav prepare plates --annotations datasets/dsmlr/instances_train.json "
        "--output datasets/dsmlr_plates",
    ),
    "empty": ("sav prepare empty --images streets --output datasets/no_vehicle --valid 80",),
}
EXAMPLES = (*_EXAMPLES["auto"], *_EXAMPLES["coco"])

_Declare = Callable[[argparse.ArgumentParser], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser one sub-command a data set; :func:`run` executes what was chosen."""
    commands = parser.add_subparsers(required=True, metavar="FORMAT")
    for name, (summary, add_options) in _CONVERTERS.items():
        lines = _EXAMPLES.get(name) or (_EXAMPLE.format(name),)
        add_options(
            commands.add_parser(name, help=summary, description=summary, **examples(*lines))
        )


def run(args: argparse.Namespace) -> None:
    """Run the converter that was chosen.

    Raises:
        SAVError: the input is not usable.
    """
    args.convert(args)


def main(dataset: str) -> None:
    """Entry point of a script that prepares one data set."""
    run(script_parser(dataset).parse_args())


def script_parser(dataset: str) -> argparse.ArgumentParser:
    """The command line of a script that prepares one data set."""
    summary, add_options = _CONVERTERS[dataset]
    line = f"python datasets/prepare_{dataset}.py --root datasets/{dataset} --out out/{dataset}"
    parser = argparse.ArgumentParser(description=summary, **examples(line))
    add_options(parser)
    return parser


def _add_vehicleseg10k(parser: argparse.ArgumentParser) -> None:
    root = "folder with images/ and annotations/"
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help=root)
    _add_out(parser, "output folder (default: ROOT/coco)")
    splits = "sub-folders of images/ and annotations/"
    default = ["train", "valid"]
    parser.add_argument("--splits", nargs="+", default=default, metavar="SPLIT", help=splits)
    parser.add_argument(
        "--foreground",
        choices=FOREGROUND_MODES,
        default="rest",
        help="a Foreground polygon covers the whole vehicle; keep what the other parts leave of "
        "it (rest), or all of it (whole)",
    )
    add_ontology_argument(parser, "whose classes they are", default="vehicleseg10k")
    add_group_argument(parser, default="vehicle")
    add_record_arguments(parser)
    parser.set_defaults(convert=_convert_vehicleseg10k)


def _convert_vehicleseg10k(args: argparse.Namespace) -> None:
    ontology = load_ontology(args.ontology)
    source = VehicleSegSource(args.root, ontology, args.foreground, group=args.group_id)
    options = {"splits": args.splits, "workers": args.workers, "strict": args.strict}
    convert_vehicleseg10k(source, args.out or args.root / "coco", **options)


def _add_dsmlr(parser: argparse.ArgumentParser) -> None:
    root = "folder with instances_train.json and JPEGImages/"
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help=root)
    _add_split(parser, valid=60)
    parser.set_defaults(convert=_convert_dsmlr)


def _convert_dsmlr(args: argparse.Namespace) -> None:
    images = ImageFolder(args.root / "JPEGImages")
    entries = find_in_file(args.root / "instances_train.json", images)
    ontology = load_ontology("dsmlr")
    labels = Labels(ontology.class_names, ontology.name, ignore=frozenset({"_background_"}))
    # Upstream stores all wheels of a photo as one annotation of several polygons. Specks of a few
    # pixels are slips of the annotator's hand.
    reading = Reading(labels, frozenset({"wheel"}), min_pixels=16)
    # Fenders, sills and roofs are not annotated, so the parts between which they are do not touch.
    preparation = replace(_preparation(ontology, args), one_vehicle=True)
    prepare_parts(COCO, entries, reading, args.out, preparation)


def _add_coco(parser: argparse.ArgumentParser) -> None:
    add_annotations_argument(parser, "COCO instances file", required=True)
    add_images_argument(parser, required=True, help="folder of its images")
    _add_reading(parser)
    parser.set_defaults(convert=_convert_coco)


def _convert_coco(args: argparse.Namespace) -> None:
    _prepare(COCO, find_in_file(args.json, ImageFolder(args.images)), args)


def _add_data(parser: argparse.ArgumentParser) -> None:
    data = "folder, file, zip or tar"
    parser.add_argument("--data", type=Path, required=True, metavar="PATH", help=data)
    add_images_argument(parser)
    _add_reading(parser)
    parser.set_defaults(convert=_convert_data)


def _convert_data(args: argparse.Namespace) -> None:
    form, entries = open_data(args.data, args.images, args.form, args.out)
    sys.stdout.write(f"{args.data}: read as {form.title}\n")
    _prepare(form, entries, args)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """The options of :class:`Reading`, and of the split."""
    add_ontology_argument(parser, "whose classes they are", required=True)
    add_label_arguments(parser)
    split = "classes of which each polygon becomes one instance"
    parser.add_argument("--split-classes", nargs="*", default=[], metavar="CLASS", help=split)
    add_group_argument(parser)
    crowds = "leave out annotations that are marked as crowds, and list them; else they are read as"
    parser.add_argument("--skip-crowds", action="store_true", help=f"{crowds} instances")
    parser.add_argument(
        "--group-by-folder",
        action="store_true",
        help="the photos in one sub-folder show one vehicle, such as the frames of a video, and do "
        'not learn from one another; an image field "group" says the same (docs/gallery.md)',
    )
    one = "each photo shows one vehicle; else, and where the data do not say, parts that touch"
    parser.add_argument("--one-vehicle", action="store_true", help=f"{one} are of one vehicle")
    _add_split(parser, valid=0)


def _prepare(form: AnnotationFormat, entries: Sequence[Entry], args: argparse.Namespace) -> None:
    ontology = load_ontology(args.ontology)
    labels = Labels(ontology.class_names, ontology.name, *label_rules(args))
    reading = Reading(
        labels,
        frozenset(args.split_classes),
        group=args.group_id,
        skip_crowds=args.skip_crowds,
        joined=joined_components(ontology),
    )
    prepare_parts(form, entries, reading, args.out, _preparation(ontology, args))


def _preparation(ontology: Ontology, args: argparse.Namespace) -> Preparation:
    options = {name: getattr(args, name) for name in ("valid", "seed", "workers", "strict")}
    options |= {name: getattr(args, name, False) for name in ("group_by_folder", "one_vehicle")}
    return Preparation(ontology, **options)


def _add_empty(parser: argparse.ArgumentParser) -> None:
    images = "folder of images, none of which shows a vehicle"
    add_images_argument(parser, required=True, help=images)
    add_ontology_argument(parser, "whose parts are not there", default="vehicle")
    _add_split(parser, valid=0)
    parser.set_defaults(convert=_convert_empty)


def _convert_empty(args: argparse.Namespace) -> None:
    options = {name: getattr(args, name) for name in ("valid", "seed", "workers", "strict")}
    convert_empty(args.images, load_ontology(args.ontology), args.out, **options)


def _add_plates(parser: argparse.ArgumentParser) -> None:
    source = "DSMLR's part annotations, as 'sav prepare dsmlr' writes them"
    add_annotations_argument(parser, source, required=True)
    _add_out(parser, "output folder", required=True)
    add_seed_argument(parser, "of the plates")
    parser.set_defaults(convert=_convert_plates)


def _convert_plates(args: argparse.Namespace) -> None:
    plates = write_plated(args.json, args.out, seed=args.seed)
    view = args.out / f"{PLATED}.yaml"
    sys.stdout.write(
        f"{plates} photos with plates in {args.out}; MODEL.SAV.VIEWS \"('{view}',)\"\n"
    )


def _add_split(parser: argparse.ArgumentParser, valid: int) -> None:
    _add_out(parser, "output folder", required=True)
    add_seed_argument(parser, "of the split")
    held_out = "images held out"
    parser.add_argument("--valid", type=count, default=valid, metavar="N", help=held_out)
    add_record_arguments(parser)


def _add_out(parser: argparse.ArgumentParser, help: str, **options: Any) -> None:
    add_output_argument(parser, help, dest="out", **options)


def _data_converter(form: AnnotationFormat) -> tuple[str, _Declare]:
    def add(parser: argparse.ArgumentParser) -> None:
        _add_data(parser)
        parser.set_defaults(form=form.name)

    return f"{form.title} to COCO part annotations: {form.layout}", add


def _add_auto(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    parser.set_defaults(form=None)


_CONVERTERS: dict[str, tuple[str, _Declare]] = {
    "auto": ("annotations whose format is found out, to COCO part annotations", _add_auto),
    **{name: _data_converter(form) for name, form in FORMATS.items()},
    "coco": ("any COCO instances file to COCO part annotations", _add_coco),
    "vehicleseg10k": (
        "VehicleSeg10K (LabelMe polygons or index masks) to COCO part annotations",
        _add_vehicleseg10k,
    ),
    "dsmlr": ("DSMLR Car Parts to COCO part annotations, with a validation split", _add_dsmlr),
    "plates": ("DSMLR's photos with licence plates put on their bumpers", _add_plates),
    "empty": ("photos without a vehicle to annotation files without annotations", _add_empty),
}
"""What it converts, and what declares its options and sets ``convert``."""
