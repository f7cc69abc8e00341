"""Prediction on files: photos and videos in, the planned outputs on disk."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from sav.d2 import Instances
from sav.drawing.parts import draw_parts, keep_confident
from sav.errors import SAVError
from sav.inspection.page import ReportPage
from sav.inspection.priors import Visibility
from sav.inspection.report import Inspector
from sav.predict.predictor import SAVPredictor
from sav.predict.sources import UnreadableInputError, Video, is_video, read_photo
from sav.predict.writers import (
    REPORT_PAGE,
    WRITERS,
    Prediction,
    describe_parts,
    video_writer,
    write_plain,
)


def predict_files(
    predictor: SAVPredictor,
    plan: dict[Path, dict[str, Path]],
    output: Path,
    score_threshold: float,
    visibility: Visibility | None = None,
) -> None:
    """Predict photos and videos and write what was planned.

    A file that cannot be read is reported on the error stream and the rest goes on.

    Args:
        predictor: finds the parts.
        plan: {input: {format: file}}, see :func:`~sav.predict.writers.plan_outputs`.
        output: the folder of all of them.
        score_threshold: instances below it are not written.
        visibility: what reports take their priors from; None for the shipped counts.

    Raises:
        SAVError: at the end, when files could not be read; at once, when one cannot be written.
    """
    broken: list[str] = []
    num_parts = without = 0
    photos = _Photos(predictor, score_threshold, visibility)
    with tqdm(plan.items(), desc="predict", unit="file", disable=None) as progress:
        for source, targets in progress:
            try:
                if is_video(source):
                    found = _predict_video(predictor, source, targets, score_threshold)
                else:
                    found = photos.predict(source, targets)
                num_parts += found
                without += not found
            except UnreadableInputError as error:
                broken.append(str(source))
                photos.add_unread(source, targets)
                tqdm.write(f"skipped: {error}", file=sys.stderr)
    photos.write_page()
    done = len(plan) - len(broken)
    written = f", written to {output}" if done else ""
    said = f"{done} of {len(plan)} files predicted, {num_parts} parts found"
    sys.stdout.write(f"{said}{written}\n")
    if without and not predictor.cfg.MODEL.SAV.TEST.TILES:
        sys.stdout.write(
            f"No parts in {without} of them: sav predict --tiles finds small vehicles\n"
        )
    if broken:
        names = ", ".join(broken[:3]) + (", ..." if len(broken) > 3 else "")
        raise SAVError(f"{len(broken)} of {len(plan)} files could not be read: {names}")


class _Photos:
    """Predicts photos one by one, and writes the page of their reports at the end."""

    def __init__(
        self, predictor: SAVPredictor, score_threshold: float, visibility: Visibility | None
    ) -> None:
        self._predictor, self._threshold = predictor, score_threshold
        self._inspector = Inspector(predictor.ontology, visibility)
        self._page = ReportPage(predictor.ontology)
        self._page_file: Path | None = None

    def predict(self, source: Path, targets: dict[str, Path]) -> int:
        image = read_photo(source)
        (output,) = self._predictor.predict_outputs([image])
        parts = keep_confident(output["instances"], self._threshold)
        part_map, ontology = output["part_map"].numpy(), self._predictor.ontology
        prediction = Prediction(source, image, parts, part_map, ontology, self._inspector)
        for name, target in targets.items():
            WRITERS[name](target, prediction)
        if "report" in targets:
            self._page.add(source.name, image, parts, prediction.report)
            self._page_file = targets["report"].with_name(REPORT_PAGE)
        return len(parts)

    def add_unread(self, source: Path, targets: dict[str, Path]) -> None:
        if "report" in targets:
            self._page.add_unread(source.name)

    def write_page(self) -> None:
        if self._page_file is not None:
            self._page.write(self._page_file)


def _predict_video(
    predictor: SAVPredictor, source: Path, targets: dict[str, Path], score_threshold: float
) -> int:
    """Predict each frame by itself; vehicle ids are those of the frame."""
    video, ontology = Video(source), predictor.ontology
    steady = SteadyParts(score_threshold)
    frames: list[dict[str, Any]] = []
    num_parts = 0
    with ExitStack() as stack:
        if "overlay" in targets:
            append = stack.enter_context(video_writer(targets["overlay"], video.fps))
        total = video.num_frames or None
        shown = {"desc": source.name, "unit": "frame", "disable": None, "leave": False}
        for index, image in enumerate(tqdm(video.frames(), total=total, **shown)):
            found = predictor(image)
            parts = keep_confident(found, score_threshold)
            num_parts += len(parts)
            if "overlay" in targets:
                # Names only: scores that change with every frame would make them flicker.
                append(draw_parts(image, steady(found), ontology, show_scores=False))
            if "json" in targets:
                frames.append({"frame": index, "parts": describe_parts(parts, ontology)})
    if "json" in targets:
        contents = {"file": str(source), "fps": video.fps, "ontology": ontology.name}
        write_plain(targets["json"], {**contents, "frames": frames})
    return num_parts


class SteadyParts:
    """Chooses what is drawn of frame after frame, so that names do not blink.

    A part appears when its score reaches the threshold and stays while it keeps two thirds of it.
    Parts of a class are not told apart: as many as there were in the frame before may stay.

    Args:
        score_threshold: in [0, 1].
    """

    def __init__(self, score_threshold: float) -> None:
        self._threshold = score_threshold
        self._shown: Counter[int] = Counter()

    def __call__(self, parts: Instances) -> Instances:
        """Return the instances to draw, in their order."""
        classes, scores = parts.pred_classes.tolist(), parts.scores.tolist()
        shown: Counter[int] = Counter()
        kept = torch.zeros(len(parts), dtype=torch.bool)
        for i in parts.scores.argsort(descending=True, stable=True).tolist():
            was_there = shown[classes[i]] < self._shown[classes[i]]
            if scores[i] >= (self._threshold * 2 / 3 if was_there else self._threshold):
                kept[i] = True
                shown[classes[i]] += 1
        self._shown = shown
        return parts[kept]
