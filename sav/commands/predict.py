"""``sav predict``, and ``demo.py``, which does the same from a config file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sav.commands.help import HelpFormatter
from sav.commands.options import (
    add_output_argument,
    add_overwrite_argument,
    add_run_arguments,
    share,
)
from sav.commands.stdin import STDIN, StdinPhoto
from sav.drawing.parts import CONFIDENT
from sav.predict.sources import find_inputs
from sav.predict.writers import WRITERS, plan_outputs
from sav.run_folder import GALLERY_FOLDER, WEIGHTS_FILE

if TYPE_CHECKING:
    from sav.predict.predictor import SAVPredictor

EXAMPLES = (
    "sav predict photo.jpg folder/ video.mp4 --output output/predictions",
    "sav predict 'photos/*.jpg' --model output/quickstart --format json labelme --overwrite",
    "sav predict - --vocabulary dsmlr --output out < photo.jpg",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``sav predict``."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="PHOTO",
        help="photos, folders, patterns or videos; - for a photo on the standard input",
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--vocabulary",
        metavar="NAME",
        help="to answer in, any view of its parts (default: its own parts)",
    )
    parser.add_argument(
        "--tiles",
        action="store_true",
        help="look for vehicles in six to nine pieces of each photo, too: streets, where vehicles "
        "are small; takes so many times as long",
    )
    _add_output_arguments(parser, ["json", "overlay"])


def run(args: argparse.Namespace) -> None:
    """Do what :func:`add_arguments` has parsed.

    Raises:
        SAVError: something the user can mend; nothing is written before the inputs, the outputs and
            the model have been found good.
    """
    from sav.modeling.weights import training_data  # noqa: PLC0415
    from sav.predict.predictor import SAVPredictor  # noqa: PLC0415

    stdin, plan = _plan(args.inputs, args)
    predictor = SAVPredictor.from_pretrained(
        *(args.model, args.device, args.vocabulary, args.gallery), tiles=args.tiles
    )
    data = training_data(args.model / WEIGHTS_FILE)
    if data:
        sys.stdout.write(f"The weights of {args.model} are trained on: {data}\n")
    stdin.write()
    _predict(predictor, plan, args)


def _plan(
    inputs: Sequence[str], args: argparse.Namespace
) -> tuple[StdinPhoto, dict[Path, dict[str, Path]]]:
    """What is to be written for which input; the standard input comes last."""
    stdin = StdinPhoto(args.output, asked=STDIN in inputs, overwrite=args.overwrite)
    files = [*find_inputs([name for name in inputs if name != STDIN]), *stdin.files]
    return stdin, plan_outputs(files, args.output, args.format, overwrite=args.overwrite)


def _add_output_arguments(parser: argparse.ArgumentParser, formats: Sequence[str]) -> None:
    """Add the options that say what is written and where; `formats` is the default of --format."""
    add_output_argument(parser, "gets the results", default=Path("output/predictions"))
    parser.add_argument(
        "--format",
        nargs="+",
        choices=list(WRITERS),
        default=list(formats),
        help="json: instances with run-length masks; labelme: polygon drafts for annotators; mask: "
        "label map as an index PNG; overlay: picture, or video, with named parts; report: sides, "
        "parts and what is not seen, with one page of all photos",
    )
    add_overwrite_argument(parser)
    parser.add_argument(
        "--priors",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="for --format report: part annotations of the same vocabulary, in which it is counted "
        "what vehicles show from each side; renderings",
    )
    parser.add_argument(
        "--score-threshold",
        type=share,
        default=CONFIDENT,
        metavar="S",
        help="leave out instances that score less, 0 to 1 (label maps do not change, "
        "and what a video shows already stays down to two thirds of it)",
    )


def run_demo(argv: Sequence[str] | None = None) -> None:
    """Run ``projects/SAV/demo.py``: prediction as Detectron2's users expect it.

    Args:
        argv: the command line; None takes that of the process.

    Raises:
        SAVError: see :func:`run`.
    """
    args = demo_parser().parse_args(argv)
    stdin, plan = _plan(args.input, args)
    predictor = _demo_predictor(args.config_file, args.opts)
    stdin.write()
    _predict(predictor, plan, args)


def demo_parser() -> argparse.ArgumentParser:
    """The command line of ``projects/SAV/demo.py``."""
    parser = argparse.ArgumentParser(
        description="Draw the parts of vehicles in photos or videos.", formatter_class=HelpFormatter
    )
    parser.add_argument(
        "--config-file",
        type=Path,
        required=True,
        metavar="FILE",
        help="config.yaml of a run folder, or any config together with MODEL.WEIGHTS in --opts",
    )
    parser.add_argument(
        "--input",
        nargs="+",
        required=True,
        metavar="PHOTO",
        help="photos, folders, patterns or videos; - for a photo on the standard input",
    )
    _add_output_arguments(parser, ["overlay"])
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="config options"
    )
    return parser


def _predict(
    predictor: SAVPredictor, plan: dict[Path, dict[str, Path]], args: argparse.Namespace
) -> None:
    """Predict and write what is planned."""
    from sav.inspection.priors import Visibility  # noqa: PLC0415
    from sav.predict.files import predict_files  # noqa: PLC0415

    counted = Visibility.mine(args.priors, predictor.ontology) if args.priors else None
    predict_files(predictor, plan, args.output, args.score_threshold, counted)


def _demo_predictor(config_file: Path, opts: list[str]) -> SAVPredictor:
    """The weights named in the options, else those beside the config.

    A gallery belongs to the final weights beside it; a checkpoint from the middle of a training
    runs without one.
    """
    from sav.config import load_config  # noqa: PLC0415
    from sav.predict.predictor import SAVPredictor  # noqa: PLC0415

    cfg = load_config(config_file, opts)
    named = "MODEL.WEIGHTS" in opts[::2]
    weights = Path(cfg.MODEL.WEIGHTS) if named else config_file.parent / WEIGHTS_FILE
    device = cfg.MODEL.DEVICE if "MODEL.DEVICE" in opts[::2] else None
    gallery = weights.parent / GALLERY_FOLDER if weights.name == WEIGHTS_FILE else None
    return SAVPredictor.from_config(cfg, weights, gallery, device)
