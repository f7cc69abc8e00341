"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from sav.run_folder import SHIPPED


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that predicts: --model, --gallery and --device."""
    parser.add_argument(
        "--model",
        type=Path,
        default=SHIPPED,
        metavar="RUN_FOLDER",
        help="OUTPUT_DIR of a finished training; the model that comes with SAV",
    )
    parser.add_argument(
        "--gallery", type=Path, metavar="DIR", help="another gallery than that of the run"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ...; a GPU when there is one")


def add_overwrite_argument(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--workers", type=count, default=0, help="processes; 0 for one a core")
    strict = "stop at the first record that cannot be used"
    parser.add_argument("--strict", action="store_true", help=strict)


def count(text: str) -> int:
    """A whole number from 0, as the type of an argument."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def add_group_argument(parser: argparse.ArgumentParser, default: str = "instance") -> None:
    """Add --group-id."""
    parser.add_argument(
        "--group-id",
        choices=("instance", "vehicle"),
        default=default,
        help="what shapes with one group id are: the pieces of an instance, as LabelMe means it, "
        "or the parts of a vehicle (default: %(default)s)",
    )


def label_rules(args: argparse.Namespace) -> tuple[dict[str, str], frozenset[str], bool]:
    """New names by old ones, the labels to ignore, and whether numbers are classes in order."""
    return dict(args.rename), frozenset(name.strip() for name in args.ignore), args.by_number


def _renaming(text: str) -> tuple[str, str]:
    old, found, new = (part.strip() for part in text.rpartition("="))
    if not (old and found and new):
        raise argparse.ArgumentTypeError(f"'{text}' is not OLD=NEW")
    return old, new
