"""Options that several commands share: the same names for the same things."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sav.errors import SAVError
from sav.formats.labels import plain_label
from sav.run_folder import SHIPPED


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that predicts: --model, --gallery and --device."""
    add_model_argument(parser)
    parser.add_argument(
        "--gallery", type=Path, metavar="DIR", help="another gallery than that of the run"
    )
    add_device_argument(parser)


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """Add --model, by default the shipped one."""
    parser.add_argument(
        "--model",
        type=Path,
        default=SHIPPED,
        metavar="RUN_FOLDER",
        help="OUTPUT_DIR of a finished training (default: the model that comes with SAV)",
    )


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    where = "cpu, cuda, cuda:1, ... or mps (default: a GPU when there is one)"
    parser.add_argument("--device", help=where)


def add_output_argument(parser: argparse._ActionsContainer, help: str, **options: Any) -> None:
    """Add --output, which may be written --out, too: a folder or a file.

    Args:
        parser: gets it.
        help: what is written there.
        options: further arguments of ``add_argument``; metavar is DIR by default.
    """
    options = {"type": Path, "metavar": "DIR", "help": help, **options}
    parser.add_argument("--output", "--out", **options)


def add_annotations_argument(parser: argparse._ActionsContainer, help: str, **options: Any) -> None:
    """Add --annotations, which may be written --json, too: annotation files to read."""
    options = {"type": Path, "metavar": "FILE", "help": help, **options}
    parser.add_argument("--annotations", "--json", dest="json", **options)


def add_ontology_argument(
    parser: argparse.ArgumentParser, whose: str, *, unset: str = "", **options: Any
) -> None:
    """Add --ontology.

    Args:
        parser: gets it.
        whose: are the classes, for the help.
        unset: what is meant without the option, for the help.
        options: further arguments of ``add_argument``.
    """
    what = f"{whose}: a shipped name, or a YAML file" + (f" (default: {unset})" if unset else "")
    parser.add_argument("--ontology", metavar="NAME", help=what, **options)


def add_images_argument(parser: argparse.ArgumentParser, **options: Any) -> None:
    """Add --images, the folder of photos."""
    where = "folder of the photos (default: beside their annotations)"
    options = {"type": Path, "metavar": "DIR", "help": where, **options}
    parser.add_argument("--images", **options)


def add_overwrite_argument(parser: argparse._ActionsContainer) -> None:
    """Add --overwrite, without which :func:`sav.files.check_new` refuses files that exist."""
    what = "replace files that are there already"
    parser.add_argument("--overwrite", action="store_true", help=what)


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --rename, --ignore and --by-number; :func:`label_rules` reads them."""
    parser.add_argument(
        "--rename",
        nargs="+",
        type=_renaming,
        default=[],
        metavar="OLD=NEW",
        help="read the label OLD as NEW",
    )
    ignore = "labels that are not asked for"
    parser.add_argument("--ignore", nargs="+", default=[], metavar="NAME", help=ignore)
    numbers = "where the data have numbers of classes but no names, they are those of --ontology in"
    parser.add_argument("--by-number", action="store_true", help=f"{numbers} their order")


def add_record_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --workers and --strict."""
    add_workers_argument(parser)
    strict = "stop at the first record that cannot be used"
    parser.add_argument("--strict", action="store_true", help=strict)


def add_workers_argument(parser: argparse.ArgumentParser) -> None:
    """Add --workers."""
    processes = "processes; 0 for one a core"
    parser.add_argument("--workers", type=count, default=0, metavar="N", help=processes)


def add_seed_argument(parser: argparse.ArgumentParser, help: str) -> None:
    """Add --seed."""
    parser.add_argument("--seed", type=count, default=0, metavar="N", help=help)


def count(text: str) -> int:
    """A whole number from 0, as the type of an argument."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def share(text: str) -> float:
    """A number from 0 to 1, as the type of an argument."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def add_group_argument(parser: argparse.ArgumentParser, default: str = "instance") -> None:
    """Add --group-id."""
    parser.add_argument(
        "--group-id",
        choices=("instance", "vehicle"),
        default=default,
        help="what shapes with one group id are: the pieces of an instance, as LabelMe means it, "
        "or the parts of a vehicle",
    )


def label_rules(args: argparse.Namespace) -> tuple[dict[str, str], frozenset[str], bool]:
    """New names by old ones, the labels to ignore, and whether numbers are classes in order.

    Raises:
        SAVError: a label has two new names.
    """
    rename: dict[str, str] = {}
    for old, new in args.rename:
        if rename.setdefault(old, new) != new:
            raise SAVError(f"--rename: '{old}' is given two new names, {rename[old]} and {new}")
    return rename, frozenset(map(plain_label, args.ignore)), args.by_number


def _renaming(text: str) -> tuple[str, str]:
    old, found, new = map(plain_label, text.rpartition("="))
    if not (old and found and new):
        raise argparse.ArgumentTypeError(f"'{text}' is not OLD=NEW")
    return old, new
