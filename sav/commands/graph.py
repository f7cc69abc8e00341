"""``sav graph``: show, check, draw and mine knowledge graphs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tabulate import tabulate

from sav.commands.options import add_overwrite_argument
from sav.files import check_new
from sav.ontology import Ontology, available_ontologies, load_ontology, load_views

_WRAP = 70  # characters a line of a cell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions; :func:`run` executes what was chosen."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def action(
        name: str, does: Callable[[argparse.Namespace], str], summary: str
    ) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=summary, description=summary)
        parser.set_defaults(action=does)
        return parser

    show = action("show", _show, "print the classes and the relations of an ontology")
    check = action(
        "check", _check, "check an ontology file; the first error is named with its line"
    )
    plot = action("plot", _plot, "draw an ontology: parts at their places, relations by type")
    mine = action("mine", _mine, "count in part annotations how pairs of parts lie together")
    known = f"a YAML file, or one of {', '.join(available_ontologies())} (default: %(default)s)"
    for one in (show, check, plot):
        one.add_argument("ontology", nargs="?", default="vehicleseg10k", help=known)
    plot.add_argument(
        "--priors",
        type=Path,
        metavar="JSON",
        help="file of 'sav graph mine': widths show how well annotations support a relation",
    )
    mine.add_argument(
        "--json",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="part annotation files of 'sav prepare', all of one vocabulary",
    )
    mine.add_argument(
        "--ontology", help="a YAML file or a shipped name; default: what the first file names"
    )
    for one, written in (
        (plot, "picture to write: .png, .svg or .pdf"),
        (mine, "priors to write: .json, see docs/graph.md"),
    ):
        one.add_argument("--output", type=Path, required=True, metavar="FILE", help=written)
        add_overwrite_argument(one)


def run(args: argparse.Namespace) -> None:
    """Do what :func:`add_arguments` has parsed.

    Raises:
        SAVError: something the user can mend.
    """
    if "output" in args:
        check_new([args.output], overwrite=args.overwrite)
    sys.stdout.write(args.action(args) + "\n")


def _mine(args: argparse.Namespace) -> str:
    # Decoding masks and statistics take a second to import, and help does without.
    from sav.data.mining import mine_priors  # noqa: PLC0415

    priors = mine_priors(args.json, args.ontology)
    priors.save(args.output)
    seen = int((priors.together > 0).sum())
    pairs = f"{seen} of {priors.together.size} pairs of classes seen together"
    return f"{args.output}: priors of {priors.vehicles} vehicles of {priors.ontology}; {pairs}"


def _plot(args: argparse.Namespace) -> str:
    from sav.ontology.plot import plot_graph  # noqa: PLC0415
    from sav.ontology.priors import Priors  # noqa: PLC0415

    ontology = load_ontology(args.ontology)
    priors = Priors.load(args.priors, ontology) if args.priors else None
    plot_graph(ontology, args.output, priors)
    return f"{args.output}: {ontology.name}; {_counts(ontology)}"


def _check(args: argparse.Namespace) -> str:
    return f"{args.ontology}: valid; {_counts(load_ontology(args.ontology))}"


def _counts(ontology: Ontology) -> str:
    counts = f"{len(ontology.classes)} classes, {len(ontology.relations)} relations"
    return f"{counts}, a view of {ontology.view_of}" if ontology.view_of else counts


def _show(args: argparse.Namespace) -> str:
    ontology = load_ontology(args.ontology)
    header = ["id", "class", "side", "mirror", "slots", "relations"]
    rows = [
        [p.id, p.name, p.side, p.mirror or "-", p.max_instances, ontology.graph.out_degree(p.name)]
        for p in ontology.classes
    ]
    if ontology.view_of:
        header.append("parts")
        rows = [[*row, union] for row, union in zip(rows, ontology.unions, strict=True)]
    classes = tabulate(rows, header, maxcolwidths=_WRAP)
    views = ", ".join(view.name for view in load_views(ontology) if not view.is_whole)
    relations = "\n".join(str(relation) for relation in ontology.relations)
    return (
        f"{ontology.name}: {_counts(ontology)}\n"
        + (f"its views: {views}\n" if views else "")
        + f"\n{classes}\n\nrelations, derived ones included:\n{relations}"
    )
