"""``sav predict``, and ``demo.py``, which does the same from a config file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sav.commands.options import add_overwrite_argument, add_run_arguments
from sav.config import load_config
from sav.drawing.parts import CONFIDENT
from sav.modeling.weights import training_data
from sav.predict.files import predict_files
from sav.predict.predictor import SAVPredictor
from sav.predict.sources import find_inputs
from sav.predict.writers import WRITERS, plan_outputs
from sav.run_folder import GALLERY_FOLDER, WEIGHTS_FILE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``sav predict``."""
    parser.add_argument(
        "inputs", nargs="+", metavar="PHOTO", help="photos, folders, patterns or videos"
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--vocabulary", metavar="NAME", help="to answer in, any view of its parts; its own parts"
    )
    _add_output_arguments(parser, ["json", "overlay"])


def run(args: argparse.Namespace) -> None:
    """Do what :func:`add_arguments` has parsed.

    Raises:
        SAVError: something the user can mend; nothing is written before the inputs, the outputs and
            the model have been found good.
    """
    plan = plan_outputs(
        find_inputs(args.inputs), args.output, args.format, overwrite=args.overwrite
    )
    predictor = SAVPredictor.from_pretrained(args.model, args.device, args.vocabulary, args.gallery)
    data = training_data(args.model / WEIGHTS_FILE)
    if data:
        sys.stdout.write(f"The weights of {args.model} are trained on: {data}\n")
    predict_files(predictor, plan, args.score_threshold)


def _add_output_arguments(parser: argparse.ArgumentParser, formats: Sequence[str]) -> None:
    """Add the options that say what is written and where; `formats` is the default of --format."""
    parser.add_argument(
        "--output", type=Path, default=Path("output/predictions"), metavar="DIR", help="%(default)s"
    )
    parser.add_argument(
        "--format",
        nargs="+",
        choices=list(WRITERS),
        default=list(formats),
        help="json: instances with run-length masks; labelme: polygon drafts for annotators; mask: "
        "label map as an index PNG; overlay: picture, or video, with named parts "
        f"(default: {' '.join(formats)})",
    )
    add_overwrite_argument(parser)
    parser.add_argument(
        "--score-threshold",
        type=_score,
        default=CONFIDENT,
        metavar="S",
        help="leave out instances that score less, 0 to 1; %(default)s (label maps do not change, "
        "and what a video shows already stays down to two thirds of it)",
    )


def _score(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def run_demo(argv: Sequence[str] | None = None) -> None:
    """Run ``projects/SAV/demo.py``: prediction as Detectron2's users expect it.

    Args:
        argv: the command line; None takes that of the process.

    Raises:
        SAVError: see :func:`run`.
    """
    parser = argparse.ArgumentParser(description="Draw the parts of vehicles in photos or videos.")
    parser.add_argument(
        "--config-file",
        type=Path,
        required=True,
        metavar="FILE",
        help="config.yaml of a run folder, or any config together with MODEL.WEIGHTS in --opts",
    )
    parser.add_argument(
        "--input", nargs="+", required=True, help="photos, folders, patterns or videos"
    )
    _add_output_arguments(parser, ["overlay"])
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="config options"
    )
    args = parser.parse_args(argv)
    plan = plan_outputs(find_inputs(args.input), args.output, args.format, overwrite=args.overwrite)
    predictor = _demo_predictor(args.config_file, args.opts)
    predict_files(predictor, plan, args.score_threshold)


def _demo_predictor(config_file: Path, opts: list[str]) -> SAVPredictor:
    """The weights named in the options, else those beside the config.

    A gallery belongs to the final weights beside it; a checkpoint from the middle of a training
    runs without one.
    """
    cfg = load_config(config_file, opts)
    named = "MODEL.WEIGHTS" in opts[::2]
    weights = Path(cfg.MODEL.WEIGHTS) if named else config_file.parent / WEIGHTS_FILE
    device = cfg.MODEL.DEVICE if "MODEL.DEVICE" in opts[::2] else None
    gallery = weights.parent / GALLERY_FOLDER if weights.name == WEIGHTS_FILE else None
    return SAVPredictor.from_config(cfg, weights, gallery, device)
