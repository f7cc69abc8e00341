"""``sav graph``: show, check, draw and mine knowledge graphs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from tabulate import tabulate

from sav.commands.help import examples
from sav.commands.json_output import add_json_argument, check_own, json_output, to_json
from sav.commands.options import (
    add_annotations_argument,
    add_ontology_argument,
    add_output_argument,
    add_overwrite_argument,
)
from sav.errors import SAVError
from sav.files import check_new
from sav.ontology import Ontology, available_ontologies, load_ontology, load_views

EXAMPLES = (
    "sav graph show vehicle",
    "sav graph check my_parts.yaml --json",
    "sav graph plot vehicleseg10k --output graph.png",
)
FORMAT = "sav-graph"

_WRAP = 70  # characters a line of a cell
_EXAMPLES = {
    "show": ("sav graph show", "sav graph show dsmlr", "sav graph show my_parts.yaml --json"),
    "check": ("sav graph check my_parts.yaml", "sav graph check my_parts.yaml --json"),
    "plot": (
        "sav graph plot vehicle --output graph.svg",
        "sav graph plot vehicleseg10k --priors priors.json --output graph.png --overwrite",
    ),
    "mine": (
        "sav graph mine --annotations datasets/dsmlr/instances_train.json --output priors.json",
        "sav graph mine --annotations a.json b.json --ontology vehicle --output priors.json",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions; :func:`run` executes what was chosen."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def action(
        name: str, does: Callable[[argparse.Namespace], str], summary: str
    ) -> argparse.ArgumentParser:
        parser = actions.add_parser(
            name, help=summary, description=summary, **examples(*_EXAMPLES[name])
        )
        parser.set_defaults(action=does)
        return parser

    show = action("show", _show, "print the classes and the relations of an ontology")
    check = action(
        "check", _check, "check an ontology file; the first error is named with its line"
    )
    plot = action("plot", _plot, "draw an ontology: parts at their places, relations by type")
    mine = action("mine", _mine, "count in part annotations how pairs of parts lie together")
    known = f"a YAML file, or one of {', '.join(available_ontologies())}"
    for one in (show, check, plot):
        one.add_argument("ontology", nargs="?", default="vehicleseg10k", metavar="NAME", help=known)
    for one in (show, check):
        add_json_argument(one)
    plot.add_argument(
        "--priors",
        type=Path,
        metavar="FILE",
        help="file of 'sav graph mine': widths show how well annotations support a relation",
    )
    files = "part annotation files of 'sav prepare', all of one vocabulary"
    add_annotations_argument(mine, files, nargs="+", required=True)
    add_ontology_argument(mine, "whose classes they have", unset="what the first file names")
    for one, written in (
        (plot, "picture to write: .png, .svg or .pdf"),
        (mine, "priors to write: .json, see docs/graph.md"),
    ):
        add_output_argument(one, written, required=True, metavar="FILE")
        add_overwrite_argument(one)


def run(args: argparse.Namespace) -> None:
    """Do what :func:`add_arguments` has parsed.

    Raises:
        SAVError: something the user can mend.
    """
    if "output" in args:
        check_new([args.output], overwrite=args.overwrite)
        sys.stdout.write(args.action(args) + "\n")
        return
    check_own(args.json, FORMAT)
    with json_output(args.json) as write_json:
        try:
            sys.stdout.write(args.action(args) + "\n")
        except SAVError as error:
            write_json(to_json(FORMAT, {"valid": False, "error": str(error)}))
            raise
        write_json(to_json(FORMAT, {"valid": True, **_describe(load_ontology(args.ontology))}))


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


def _describe(ontology: Ontology) -> dict[str, Any]:
    """An ontology as plain data: its classes, and the relations that hold as triples."""
    classes = [asdict(part) for part in ontology.classes]
    if ontology.view_of:
        unions = zip(classes, ontology.unions, strict=True)
        classes = [
            {**part, "parts": union.parts, "attached": union.attached} for part, union in unions
        ]
    return {
        "name": ontology.name,
        "view_of": ontology.view_of or None,
        "views": [view.name for view in load_views(ontology) if not view.is_whole],
        "classes": classes,
        "relations": [astuple(relation) for relation in ontology.relations],
    }


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
