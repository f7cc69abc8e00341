"""Prediction on files: photos and videos in, the planned outputs on disk."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sav.drawing.parts import draw_parts, keep_confident
from sav.errors import SAVError
from sav.predict.predictor import SAVPredictor
from sav.predict.sources import UnreadableInputError, is_video, read_photo
from sav.predict.video import SteadyParts, Video, video_writer
from sav.predict.writers import FORMATS, Prediction, describe_parts, write_plain


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
