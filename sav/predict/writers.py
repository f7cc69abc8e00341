"""The files that a prediction becomes: JSON, LabelMe drafts, index masks and overlays."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sav.d2 import Instances
from sav.drawing.parts import draw_parts
from sav.errors import SAVError
from sav.files import atomic_path
from sav.formats.labelme import labelme_record
from sav.formats.masks import encode_mask
from sav.formats.polygons import mask_to_polygons
from sav.ontology import Ontology
from sav.predict.sources import is_video

_VIDEO_FORMATS = ("json", "overlay")


@dataclass(frozen=True)
class Prediction:
    """Everything known about one photo.

    Attributes:
        path: the photo's file.
        image: (H, W, 3) uint8 RGB.
        parts: the instances to write, already thresholded.
        part_map: (H, W) uint8 label map, class id + 1, 0 background.
        ontology: the part vocabulary.
    """

    path: Path
    image: np.ndarray
    parts: Instances
    part_map: np.ndarray
    ontology: Ontology


def describe_parts(parts: Instances, ontology: Ontology) -> list[dict[str, Any]]:
    """Instances as plain data, best first.

    Returns:
        For each instance: name, class_id, score in [0, 1], box [x0, y0, x1, y1] in pixels,
        vehicle_id, and mask as a compressed COCO RLE.
    """
    described = []
    for i in parts.scores.argsort(descending=True, stable=True).tolist():
        class_id = int(parts.pred_classes[i])
        described.append(
            {
                "name": ontology.class_names[class_id],
                "class_id": class_id,
                "score": round(float(parts.scores[i]), 4),
                "box": [round(v, 2) for v in parts.pred_boxes.tensor[i].tolist()],
                "vehicle_id": int(parts.vehicle_ids[i]),
                "mask": encode_mask(parts.pred_masks[i].numpy()),
            }
        )
    return described


def write_json(path: Path, prediction: Prediction) -> None:
    """Write the instances of a photo with RLE masks."""
    height, width = prediction.image.shape[:2]
    write_plain(
        path,
        {
            "file": str(prediction.path),
            "width": width,
            "height": height,
            "ontology": prediction.ontology.name,
            "parts": describe_parts(prediction.parts, prediction.ontology),
        },
    )


def write_labelme(path: Path, prediction: Prediction) -> None:
    """Write polygons that LabelMe opens, as a draft for annotators.

    Shapes run from large to small, so that parts lie over the body; ``group_id`` is the vehicle. A
    mask in several pieces becomes several shapes, and holes are filled.
    """
    parts = prediction.parts
    areas = parts.pred_masks.flatten(1).sum(dim=1)
    polygons = [
        (
            prediction.ontology.class_names[int(parts.pred_classes[i])],
            polygon,
            int(parts.vehicle_ids[i]),
            f"score {float(parts.scores[i]):.2f}",
        )
        for i in areas.argsort(descending=True, stable=True).tolist()
        for polygon in mask_to_polygons(parts.pred_masks[i].numpy())
    ]
    # LabelMe resolves the photo from the folder of the JSON.
    photo = os.path.relpath(prediction.path, path.parent)
    write_plain(path, labelme_record(polygons, photo, *prediction.image.shape[:2]))


def write_mask(path: Path, prediction: Prediction) -> None:
    """Write the model's label map as a palette PNG: values are class id + 1, 0 background."""
    image = Image.fromarray(prediction.part_map.astype(np.uint8))
    image.putpalette([0, 0, 0, *(v for color in prediction.ontology.colors for v in color)])
    with atomic_path(path) as temporary:
        image.save(temporary)


def write_overlay(path: Path, prediction: Prediction) -> None:
    """Write the photo with named, coloured parts; small photos are enlarged."""
    drawn = draw_parts(prediction.image, prediction.parts, prediction.ontology)
    with atomic_path(path) as temporary:
        Image.fromarray(drawn).save(temporary)


def write_plain(path: Path, data: dict[str, Any]) -> None:
    """Write plain data as strict JSON, all at once."""
    text = json.dumps(data, indent=1, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", "utf-8")


@dataclass(frozen=True)
class Format:
    """One way to write a prediction.

    Attributes:
        name: file name below the output folder; ``{stem}`` is the photo's.
        write: writes the file of one photo.
    """

    name: str
    write: Callable[[Path, Prediction], None]


FORMATS: dict[str, Format] = {
    "json": Format("{stem}.json", write_json),
    "labelme": Format("labelme/{stem}.json", write_labelme),
    "mask": Format("{stem}_mask.png", write_mask),
    "overlay": Format("{stem}_overlay.png", write_overlay),
}


def plan_outputs(
    inputs: Sequence[Path], output: Path, formats: Sequence[str]
) -> dict[Path, dict[str, Path]]:
    """Decide the file of every input and format before anything is written.

    Args:
        inputs: photos and videos.
        output: the folder for all files.
        formats: keys of `FORMATS`.

    Returns:
        {input: {format: file}}.

    Raises:
        SAVError: the output folder holds an input, two inputs would share a file, a LabelMe file
            exists that may hold corrections, or a format does not suit a video.
    """
    plan: dict[Path, dict[str, Path]] = {}
    owner: dict[Path, Path] = {}
    for source in inputs:
        if source.resolve().parent == output.resolve():
            raise SAVError(
                f"{output}: this folder holds the input {source.name}; choose another --output, so "
                "that none of your files is overwritten"
            )
        plan[source] = {}
        for name in dict.fromkeys(formats):
            target = _target(source, output, name)
            if target in owner:
                raise SAVError(
                    f"{owner[target]} and {source} would both become {target}; predict them into "
                    "different --output folders"
                )
            if name == "labelme" and target.exists():
                raise SAVError(
                    f"{target}: exists and may hold an annotator's corrections; move it away or "
                    "choose another --output"
                )
            owner[target] = source
            plan[source][name] = target
    return plan


def _target(source: Path, output: Path, name: str) -> Path:
    target = output / FORMATS[name].name.format(stem=source.stem)
    if not is_video(source):
        return target
    if name not in _VIDEO_FORMATS:
        raise SAVError(f"{source}: a video can be written as {' or '.join(_VIDEO_FORMATS)} only")
    return target.with_suffix(".mp4") if name == "overlay" else target
