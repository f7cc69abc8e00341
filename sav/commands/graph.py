"""``sav graph``: show, check, draw and mine knowledge graphs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sav.ontology import Ontology, available_ontologies, load_ontology

DEFAULT = "vehicleseg10k"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their arguments; :func:`run` takes what they parse to."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=summary, description=summary)

    show = action("show", "print the classes and the relations of an ontology")
    check = action("check", "check an ontology file; the first error is named with its line")
    plot = action("plot", "draw an ontology: parts at their places, relations by type")
    shipped = ", ".join(available_ontologies())
    for needs_ontology in (show, check, plot):
        needs_ontology.add_argument(
            "ontology",
            nargs="?",
            default=DEFAULT,
            help=f"a YAML file, or one of {shipped} (default: %(default)s)",
        )
    plot.add_argument(
        "--priors",
        type=Path,
        metavar="JSON",
        help="file of 'sav graph mine': widths show how well annotations support a relation",
    )
    plot.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="picture to write: .png, .svg or .pdf",
    )
    mine = action("mine", "count in part annotations how pairs of parts lie together")
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
    mine.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="priors to write: .json, see docs/graph.md",
    )


def run(args: argparse.Namespace) -> None:
    """Do what the arguments say."""
    if args.action == "mine":
        text = _mine(args)
    else:
        ontology = load_ontology(args.ontology)
        if args.action == "show":
            text = _describe(ontology)
        elif args.action == "check":
            text = f"{args.ontology}: valid; {_counts(ontology)}"
        else:
            text = _plot(args, ontology)
    sys.stdout.write(text + "\n")


def _mine(args: argparse.Namespace) -> str:
    # Decoding masks and statistics take a second to import, and help does without.
    from sav.data.mining import mine_priors  # noqa: PLC0415

    priors = mine_priors(args.json, args.ontology)
    priors.save(args.output)
    seen = int((priors.together > 0).sum())
    pairs = f"{seen} of {priors.together.size} pairs of classes seen together"
    return f"{args.output}: priors of {priors.vehicles} vehicles of {priors.ontology}; {pairs}"


def _plot(args: argparse.Namespace, ontology: Ontology) -> str:
    from sav.ontology.plot import plot_graph  # noqa: PLC0415
    from sav.ontology.priors import Priors  # noqa: PLC0415

    priors = Priors.load(args.priors, ontology) if args.priors else None
    plot_graph(ontology, args.output, priors)
    return f"{args.output}: {ontology.name}; {_counts(ontology)}"


def _counts(ontology: Ontology) -> str:
    return f"{len(ontology.classes)} classes, {len(ontology.relations)} relations"


def _describe(ontology: Ontology) -> str:
    from tabulate import tabulate  # noqa: PLC0415

    rows = [
        [p.id, p.name, p.side, p.mirror or "-", p.max_instances, ontology.graph.out_degree(p.name)]
        for p in ontology.classes
    ]
    classes = tabulate(rows, ["id", "class", "side", "mirror", "slots", "relations"])
    relations = "\n".join(str(relation) for relation in ontology.relations)
    return (
        f"{ontology.name}: {_counts(ontology)}\n\n{classes}\n\n"
        f"relations, derived ones included:\n{relations}"
    )
