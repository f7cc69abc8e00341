"""Prediction on files from a command line: shared by ``sav predict`` and ``demo.py``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sav.config import load_config
from sav.drawing.parts import CONFIDENT, draw_parts, keep_confident
from sav.errors import SAVError
from sav.predict.predictor import SAVPredictor
from sav.predict.sources import UnreadableInputError, find_inputs, is_video, read_photo
from sav.predict.video import SteadyParts, Video, video_writer
from sav.predict.writers import FORMATS, Prediction, describe_parts, plan_outputs, write_plain
from sav.run_folder import GALLERY_FOLDER, WEIGHTS_FILE


def add_output_arguments(parser: argparse.ArgumentParser, formats: Sequence[str]) -> None:
    """Add the options that say what is written and where.

    Args:
        parser: changed in place.
        formats: the default of --format.
    """
    parser.add_argument(
        "--output", type=Path, default=Path("output/predictions"), metavar="DIR", help="%(default)s"
    )
    parser.add_argument(
        "--format",
        nargs="+",
        choices=list(FORMATS),
        default=list(formats),
        help="json: instances with run-length masks; labelme: polygon drafts for annotators; mask: "
        "label map as an index PNG; overlay: picture, or video, with named parts "
        f"(default: {' '.join(formats)})",
    )
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


def run_predict(args: argparse.Namespace) -> None:
    """Run ``sav predict``.

    Args:
        args: inputs, vocabulary, and what :func:`add_output_arguments` and
            :func:`~sav.run_folder.add_run_arguments` add.

    Raises:
        SAVError: something the user can mend; nothing is written before the inputs, the outputs and
            the model have been found good.
    """
    plan = plan_outputs(find_inputs(args.inputs), args.output, args.format)
    predictor = SAVPredictor.from_pretrained(args.model, args.device, args.vocabulary, args.gallery)
    predict_files(predictor, plan, args.score_threshold)


def run_demo(argv: Sequence[str] | None = None) -> None:
    """Run ``projects/SAV/demo.py``: prediction as Detectron2's users expect it.

    Args:
        argv: the command line; None takes that of the process.

    Raises:
        SAVError: see :func:`run_predict`.
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
    add_output_arguments(parser, ["overlay"])
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="config options"
    )
    args = parser.parse_args(argv)
    plan = plan_outputs(find_inputs(args.input), args.output, args.format)
    predictor = _demo_predictor(args.config_file, args.opts)
    predict_files(predictor, plan, args.score_threshold)


def _demo_predictor(config_file: Path, opts: list[str]) -> SAVPredictor:
    """The weights named in the options, else those beside the config.

    A gallery belongs to the final weights beside it; a checkpoint from the middle of a training
    runs without one.
    """
    cfg = load_config(config_file, opts)
    if "MODEL.WEIGHTS" in opts[::2]:
        weights = Path(cfg.MODEL.WEIGHTS)
    else:
        weights = config_file.parent / WEIGHTS_FILE
    device = cfg.MODEL.DEVICE if "MODEL.DEVICE" in opts[::2] else None
    gallery = weights.parent / GALLERY_FOLDER if weights.name == WEIGHTS_FILE else None
    return SAVPredictor.from_config(cfg, weights, gallery, device)


def predict_files(
    predictor: SAVPredictor, plan: dict[Path, dict[str, Path]], score_threshold: float
) -> None:
    """Predict photos and videos and write what was planned.

    A file that cannot be read is reported on the error stream and the rest goes on.

    Args:
        predictor: finds the parts.
        plan: {input: {format: file}}, see :func:`~sav.predict.writers.plan_outputs`.
        score_threshold: instances below it are not written.

    Raises:
        SAVError: at the end, when files could not be read; at once, when one cannot be written.
    """
    broken: list[str] = []
    num_parts = 0
    with tqdm(plan.items(), desc="predict", unit="file", disable=None) as progress:
        for source, targets in progress:
            predict = _predict_video if is_video(source) else _predict_photo
            try:
                num_parts += predict(predictor, source, targets, score_threshold)
            except UnreadableInputError as error:
                broken.append(str(source))
                tqdm.write(f"skipped: {error}", file=sys.stderr)
    done = len(plan) - len(broken)
    sys.stdout.write(f"{done} of {len(plan)} files predicted, {num_parts} parts found\n")
    if broken:
        names = ", ".join(broken[:3]) + (", ..." if len(broken) > 3 else "")
        raise SAVError(f"{len(broken)} of {len(plan)} files could not be read: {names}")


def _predict_photo(
    predictor: SAVPredictor, source: Path, targets: dict[str, Path], score_threshold: float
) -> int:
    image = read_photo(source)
    output = predictor.predict_outputs([image])[0]
    parts = keep_confident(output["instances"], score_threshold)
    part_map = output["part_map"].numpy().astype(np.uint8)
    prediction = Prediction(source, image, parts, part_map, predictor.ontology)
    for name, target in targets.items():
        FORMATS[name].write(target, prediction)
    return len(parts)


def _predict_video(
    predictor: SAVPredictor, source: Path, targets: dict[str, Path], score_threshold: float
) -> int:
    """Predict each frame by itself; vehicle ids are those of the frame."""
    video = Video.open(source)
    steady = SteadyParts(score_threshold)
    frames: list[dict[str, Any]] = []
    num_parts = 0
    with ExitStack() as stack:
        append = None
        if "overlay" in targets:
            append = stack.enter_context(video_writer(targets["overlay"], video.fps))
        progress = tqdm(
            video.frames(),
            desc=source.name,
            total=video.num_frames or None,
            unit="frame",
            disable=None,
            leave=False,
        )
        for index, image in enumerate(progress):
            found = predictor(image)
            parts = keep_confident(found, score_threshold)
            num_parts += len(parts)
            if append is not None:
                # Names only: scores that change with every frame would make them flicker.
                drawn = draw_parts(image, steady(found), predictor.ontology, show_scores=False)
                append(drawn)
            if "json" in targets:
                described = describe_parts(parts, predictor.ontology)
                frames.append({"frame": index, "parts": described})
    if "json" in targets:
        contents = {"file": str(source), "fps": video.fps, "ontology": predictor.ontology.name}
        write_plain(targets["json"], {**contents, "frames": frames})
    return num_parts
