"""The ``sav`` command.

Each sub-command imports what it needs when it runs, so that ``sav --help`` does not wait for torch.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sav import __version__
from sav.errors import SAVError, run_command

if TYPE_CHECKING:
    from sav.ontology import Ontology
    from sav.retrieval import Gallery


def main() -> None:
    """Entry point of the console command; exits with 0, or with one line of error and another."""
    run_command(lambda: dispatch(sys.argv[1:]))


def dispatch(argv: list[str]) -> None:
    """Run a sub-command.

    Args:
        argv: the words after ``sav``.
    """
    listing = "\n".join(f"  {name:<9}{command.summary}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="sav",
        usage="sav [-h] [--version] COMMAND ...",
        description="Segment Any Vehicle: find the named parts of vehicles in photos.",
        epilog=f"commands:\n{listing}\n\n'sav COMMAND --help' explains one of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sav {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help="see below")
    args = parser.parse_args(argv[:1])
    COMMANDS[args.command].run(argv[1:])


def _parser(name: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"sav {name}", description=COMMANDS[name].summary)


def _synth(argv: list[str]) -> None:
    from sav.ontology import available_ontologies
    from sav.synthetic import ANNOTATION_FORMATS, contact_sheet, generate_dataset

    parser = _parser("synth")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the data set")
    parser.add_argument("--train", type=int, default=2000, help="training images; %(default)s")
    parser.add_argument("--valid", type=int, default=200, help="validation images; %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes; %(default)s")
    parser.add_argument("--size", type=int, default=256, help="image side, pixels; %(default)s")
    parser.add_argument("--workers", type=int, help="processes; one per core")
    parser.add_argument(
        "--ontology", default="vehicleseg10k", choices=available_ontologies(), help="%(default)s"
    )
    parser.add_argument(
        "--annotation-format", choices=ANNOTATION_FORMATS, default="labelme", help="%(default)s"
    )
    parser.add_argument(
        "--color-masks", action="store_true", help="with index_png: coloured masks beside them"
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="also, or only, draw a sheet of all body types"
    )
    args = parser.parse_args(argv)
    if args.out is None and args.sheet is None:
        parser.error("give --out, --sheet or both")
    if args.sheet is not None:
        contact_sheet(args.sheet, ontology=args.ontology, seed=args.seed, image_size=args.size)
        _print(f"sheet of body types: {args.sheet}")
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
        )
        _print(f"{args.train} + {args.valid} images in {args.out}")


def _prepare(argv: list[str]) -> None:
    from sav.data import prepare

    parser = _parser("prepare")
    prepare.add_arguments(parser)
    prepare.run(parser.parse_args(argv))


def _train(argv: list[str]) -> None:
    from sav.engine.run import argument_parser, run

    parser = argument_parser()
    parser.prog = "sav train"
    run(parser.parse_args(argv))


def _eval(argv: list[str]) -> None:
    from sav.engine.run import argument_parser, run
    from sav.inference.predictor import CONFIG_FILE, WEIGHTS_FILE

    parser = argument_parser()
    parser.prog = "sav eval"
    parser.add_argument(
        "--model",
        type=Path,
        metavar="RUN_FOLDER",
        help="a finished training: short for its config file, weights and output folder",
    )
    args = parser.parse_args(argv)
    args.eval_only = True
    if args.model is not None:
        if not args.model.is_dir():
            raise SAVError(f"{args.model}: no such run folder; give the OUTPUT_DIR of a training")
        args.config_file = args.config_file or str(args.model / CONFIG_FILE)
        own = {"MODEL.WEIGHTS": args.model / WEIGHTS_FILE, "OUTPUT_DIR": args.model}
        # What the user sets comes last and wins.
        args.opts = [str(word) for pair in own.items() for word in pair] + (args.opts or [])
    run(args)


def _predict(argv: list[str]) -> None:
    from sav.inference import command

    parser = _parser("predict")
    parser.add_argument(
        "inputs", nargs="+", metavar="PHOTO", help="photos, folders, patterns or videos"
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("output/quickstart"),
        metavar="RUN_FOLDER",
        help="OUTPUT_DIR of a finished training; %(default)s",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ...; a GPU when there is one")
    command.add_output_arguments(parser, ["json", "overlay"])
    command.run_predict(parser.parse_args(argv))


def _graph(argv: list[str]) -> None:
    from sav.ontology import available_ontologies, load_ontology

    parser = _parser("graph")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    shipped = ", ".join(available_ontologies())
    for name, summary in (
        ("show", "print the classes and the relations of an ontology"),
        ("check", "check an ontology file; the first error is named with its line"),
    ):
        action = actions.add_parser(name, help=summary, description=summary)
        action.add_argument("ontology", help=f"a YAML file, or one of {shipped}")
    args = parser.parse_args(argv)
    ontology = load_ontology(args.ontology)
    if args.action == "show":
        _print(_describe_ontology(ontology))
    else:
        _print(
            f"{args.ontology}: valid; {len(ontology.classes)} classes, "
            f"{len(ontology.relations)} relations"
        )


def _gallery(argv: list[str]) -> None:
    from sav.config import load_config
    from sav.inference.predictor import CONFIG_FILE, GALLERY_FOLDER
    from sav.ontology import load_ontology
    from sav.retrieval import Gallery

    parser = _parser("gallery")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    summary = "print the size, the fingerprints and the classes of a run's gallery"
    inspect = actions.add_parser("inspect", help=summary, description=summary)
    inspect.add_argument("run", type=Path, metavar="RUN_FOLDER", help="OUTPUT_DIR of a training")
    args = parser.parse_args(argv)
    folder = args.run / GALLERY_FOLDER
    if not folder.is_dir():
        raise SAVError(f"{folder}: no gallery there; give the OUTPUT_DIR of a finished training")
    cfg = load_config(args.run / CONFIG_FILE)
    _print(_describe_gallery(Gallery.load(folder), load_ontology(cfg.MODEL.SAV.ONTOLOGY)))


def _describe_ontology(ontology: Ontology) -> str:
    from tabulate import tabulate

    degree = Counter(relation.subject for relation in ontology.relations)
    rows = [
        [p.id, p.name, p.side, p.mirror or "-", p.max_instances, degree[p.name]]
        for p in ontology.classes
    ]
    classes = tabulate(rows, ["id", "class", "side", "mirror", "slots", "relations"])
    relations = "\n".join(str(relation) for relation in ontology.relations)
    return f"{ontology.name}\n\n{classes}\n\nrelations, derived ones included:\n{relations}"


def _describe_gallery(gallery: Gallery, ontology: Ontology) -> str:
    from tabulate import tabulate

    entries = gallery.entries
    lines = [f"{len(gallery)} vehicles"]
    lines += [f"{name}: {_plain(value)}" for name, value in sorted(gallery.fingerprint.items())]
    if entries is not None:
        counts = entries.present.sum(dim=0).tolist()
        rows = list(zip(ontology.class_names, counts, strict=True))
        lines += ["", tabulate(rows, ["class", "vehicles that show it"])]
    return "\n".join(lines)


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


@dataclass(frozen=True)
class Command:
    """A sub-command.

    Attributes:
        summary: one line of help.
        run: takes the words after the command's name.
    """

    summary: str
    run: Callable[[list[str]], None]


COMMANDS: dict[str, Command] = {
    "synth": Command("make images of synthetic vehicles with part annotations", _synth),
    "prepare": Command("convert a data set to part annotations", _prepare),
    "train": Command("train a model from a config file", _train),
    "eval": Command("evaluate a trained model", _eval),
    "predict": Command("find the parts of vehicles in photos and videos", _predict),
    "gallery": Command("look into the gallery of a run", _gallery),
    "graph": Command("show or check an ontology", _graph),
}


if __name__ == "__main__":
    main()
