"""The files that a prediction becomes: JSON, LabelMe drafts, index masks, overlays, reports."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from sav.drawing.parts import draw_parts
from sav.errors import SAVError
from sav.files import atomic_path, check_new, native_name, write_atomic
from sav.formats.labelme import describe, labelme_record
from sav.formats.mask_pixels import names_in_png
from sav.formats.masks import encode_mask
from sav.formats.outlines import mask_to_polygons
from sav.inspection.report import Inspector, PhotoReport
from sav.ontology import Ontology
from sav.predict.sources import is_video

if TYPE_CHECKING:
    from sav.d2 import Instances


@dataclass(frozen=True)
class Prediction:
    """Everything known about one photo.

    Attributes:
        path: the photo's file.
        image: (H, W, 3) uint8 RGB.
        parts: the instances to write, already thresholded.
        part_map: (H, W) uint8 label map, class id + 1, 0 background.
        ontology: the part vocabulary.
        inspector: writes reports; None takes the shipped priors.
    """

    path: Path
    image: np.ndarray
    parts: Instances
    part_map: np.ndarray
    ontology: Ontology
    inspector: Inspector | None = None

    @cached_property
    def report(self) -> PhotoReport:
        """What is seen of each vehicle, what is not, and from which side."""
        return (self.inspector or Inspector(self.ontology))(self.parts)


def describe_parts(parts: Instances, ontology: Ontology) -> list[dict[str, Any]]:
    """Instances as plain data, best first.

    Returns:
        For each instance: name, class_id, score in [0, 1], box [x0, y0, x1, y1] in pixels,
        vehicle_id, and mask as a compressed COCO RLE.
    """
    parts = parts[parts.scores.argsort(descending=True, stable=True)]
    fields = (parts.pred_classes, parts.scores, parts.pred_boxes.tensor, parts.vehicle_ids)
    columns = *(field.tolist() for field in fields), parts.pred_masks.numpy()
    return [
        {
            "name": ontology.class_names[class_id],
            "class_id": class_id,
            "score": round(score, 4),
            "box": [round(v, 2) for v in box],
            "vehicle_id": vehicle_id,
            "mask": encode_mask(mask),
        }
        for class_id, score, box, vehicle_id, mask in zip(*columns, strict=True)
    ]


def write_json(path: Path, prediction: Prediction) -> None:
    """Write the instances of a photo with RLE masks."""
    height, width = prediction.image.shape[:2]
    contents = {
        "file": str(prediction.path),
        "width": width,
        "height": height,
        "ontology": prediction.ontology.name,
        "parts": describe_parts(prediction.parts, prediction.ontology),
    }
    write_plain(path, contents)


def write_labelme(path: Path, prediction: Prediction) -> None:
    """Write polygons that LabelMe opens, as a draft for annotators.

    Shapes run from large to small, so that parts lie over the body; ``group_id`` is the vehicle,
    and the description has the number of the instance and its score, which 'sav prepare labelme'
    reads. A mask in several pieces becomes several shapes, and holes are filled.
    """
    parts, names = prediction.parts, prediction.ontology.class_names
    areas = parts.pred_masks.flatten(1).sum(dim=1)
    parts = parts[areas.argsort(descending=True, stable=True)]
    columns = parts.pred_classes.tolist(), parts.vehicle_ids.tolist(), parts.scores.tolist()
    polygons = [
        (names[class_id], polygon, vehicle_id, describe(number, score))
        for number, (class_id, vehicle_id, score, mask) in enumerate(
            zip(*columns, parts.pred_masks.numpy(), strict=True), start=1
        )
        for polygon in mask_to_polygons(mask)
    ]
    # LabelMe resolves the photo from the folder of the JSON.
    photo = os.path.relpath(prediction.path, path.parent)
    write_plain(path, labelme_record(polygons, photo, *prediction.image.shape[:2]))


def write_mask(path: Path, prediction: Prediction) -> None:
    """Write the model's label map as a palette PNG: values are class id + 1, 0 background.

    The PNG holds the names of the classes, too, so that it can be read as annotations.
    """
    image = Image.fromarray(prediction.part_map)
    image.putpalette([0, 0, 0, *(v for color in prediction.ontology.colors for v in color)])
    with atomic_path(path) as temporary:
        image.save(temporary, pnginfo=names_in_png(prediction.ontology.class_names))


def write_overlay(path: Path, prediction: Prediction) -> None:
    """Write the photo with named, coloured parts; small photos are enlarged."""
    drawn = draw_parts(prediction.image, prediction.parts, prediction.ontology)
    with atomic_path(path) as temporary:
        Image.fromarray(drawn).save(temporary)


def write_report(path: Path, prediction: Prediction) -> None:
    """Write the inspection report of a photo, see sav/inspection/report.schema.json."""
    contents = prediction.report.to_dict()
    schema = {"schema": contents.pop("schema")}
    write_plain(path, schema | {"file": str(prediction.path)} | contents)


@contextmanager
def video_writer(path: Path, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Write an MP4 that appears when the block ends well.

    Args:
        path: the file, ending in .mp4.
        fps: frames per second.

    Yields:
        A function that appends a frame, (H, W, 3) uint8 RGB; the first one sets the size.

    Raises:
        SAVError: this OpenCV cannot write MP4, the file cannot be written, or not all frames that
            were appended can be read from it.
    """
    writer, count = cv2.VideoWriter(), 0

    with atomic_path(path) as temporary, native_name(temporary) as name:

        def append(frame: np.ndarray) -> None:
            nonlocal count
            # Players want even sides: chroma is stored at half the resolution.
            height, width = (side - side % 2 for side in frame.shape[:2])
            if not writer.isOpened():
                codec = cv2.VideoWriter.fourcc(*"mp4v")
                if not writer.open(name, codec, fps, (width, height)):
                    raise SAVError(
                        f"{path}: OpenCV cannot write an MP4 video of {width}x{height} pixels here"
                    )
            writer.write(cv2.cvtColor(frame[:height, :width], cv2.COLOR_RGB2BGR))
            count += 1

        try:
            yield append
        finally:
            writer.release()
        _check_video(path, name, count)


def _check_video(path: Path, name: str, count: int) -> None:
    """OpenCV says nothing of frames that it could not write."""
    written = cv2.VideoCapture(name)
    readable, _ = written.read()
    found = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if readable else 0
    written.release()
    if not count or found != count:
        raise SAVError(
            f"{path}: only {found} of {count} frames could be written; is there room on the disk?"
        )


def write_plain(path: Path, data: dict[str, Any]) -> None:
    """Write plain data as strict JSON, all at once."""
    write_atomic(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


WRITERS: dict[str, Callable[[Path, Prediction], None]] = {
    "json": write_json,
    "labelme": write_labelme,
    "mask": write_mask,
    "overlay": write_overlay,
    "report": write_report,
}
"""What writes the file of one photo, by format."""

_PHOTO_FILES = {
    "json": "{}.json",
    "labelme": "labelme/{}.json",
    "mask": "{}_mask.png",
    "overlay": "{}_overlay.png",
    "report": "{}_report.json",
}
REPORT_PAGE = "report.html"
"""Beside the reports of photos: all of them."""
_VIDEO_FILES = {"json": "{}.json", "overlay": "{}_overlay.mp4"}


def plan_outputs(
    inputs: Sequence[Path], output: Path, formats: Sequence[str], *, overwrite: bool = False
) -> dict[Path, dict[str, Path]]:
    """Decide the file of every input and format before anything is written.

    Args:
        inputs: photos and videos.
        output: the folder for all files.
        formats: keys of `WRITERS`.
        overwrite: whether the files may take the place of others; never of an input.

    Returns:
        {input: {format: file}}.

    Raises:
        SAVError: the output folder holds an input or cannot be written to, two inputs would share a
            file, a file exists already, or a format does not suit a video.
    """
    plan: dict[Path, dict[str, Path]] = {}
    owner: dict[Path, Path] = {output / REPORT_PAGE: output} if "report" in formats else {}
    for source in inputs:
        if source.resolve().parent == output.resolve():
            raise SAVError(
                f"{output}: this folder holds the input {source.name}; choose another --output, so "
                "that none of your files is overwritten"
            )
        files = _VIDEO_FILES if is_video(source) else _PHOTO_FILES
        plan[source] = {}
        for name in dict.fromkeys(formats):
            if name not in files:
                raise SAVError(f"{source}: a video can be written as {' or '.join(files)} only")
            target = output / files[name].format(source.stem)
            if target in owner:
                raise SAVError(
                    f"{owner[target]} and {source} would both become {target}; predict them into "
                    "different --output folders"
                )
            owner[target] = source
            plan[source][name] = target
    check_new(owner, overwrite=overwrite)
    return plan
