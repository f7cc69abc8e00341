"""The ``sav`` command.

Each sub-command imports what it needs when it runs, so that ``sav --help`` does not wait for torch.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sav import __version__
from sav.errors import SAVError, run_command


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
    from sav.synthetic import (
        ANNOTATION_FORMATS,
        BODY_TYPES,
        contact_sheet,
        generate_dataset,
    )

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
        "--bodies",
        nargs="+",
        choices=(*BODY_TYPES, "none"),
        default=list(BODY_TYPES),
        metavar="TYPE",
        help=f"types of vehicles that occur: {', '.join(BODY_TYPES)}, or none (default: all)",
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="also, or only, draw a sheet of all body types"
    )
    args = parser.parse_args(argv)
    if args.out is None and args.sheet is None:
        parser.error("give --out, --sheet or both")
    if "none" in args.bodies and len(args.bodies) > 1:
        parser.error("--bodies none: no type can stand beside it")
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
            bodies=[body for body in args.bodies if body != "none"],
        )
        _print(f"{args.train} + {args.valid} images in {args.out}")


def _prepare(argv: list[str]) -> None:
    from sav.commands import prepare

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
    from sav.run_folder import CONFIG_FILE, WEIGHTS_FILE

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
    from sav.commands import predict as command
    from sav.run_folder import add_run_arguments

    parser = _parser("predict")
    parser.add_argument(
        "inputs", nargs="+", metavar="PHOTO", help="photos, folders, patterns or videos"
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--vocabulary", metavar="NAME", help="of a model that knows several; its first one"
    )
    command.add_output_arguments(parser, ["json", "overlay"])
    command.run_predict(parser.parse_args(argv))


def _graph(argv: list[str]) -> None:
    from sav.commands import graph

    parser = _parser("graph")
    graph.add_arguments(parser)
    graph.run(parser.parse_args(argv))


def _gallery(argv: list[str]) -> None:
    from sav.commands import gallery as gallery_command

    parser = _parser("gallery")
    gallery_command.add_arguments(parser)
    gallery_command.run(parser.parse_args(argv))


def _bench(argv: list[str]) -> None:
    from sav.commands import bench as command

    parser = _parser("bench")
    command.add_arguments(parser)
    command.run(parser.parse_args(argv))


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
    "gallery": Command("build a gallery of annotated vehicles, look into it, ask it", _gallery),
    "graph": Command("show, check, draw and mine knowledge graphs", _graph),
    "bench": Command("repeat the experiments that docs/results.md reports", _bench),
}


if __name__ == "__main__":
    main()
