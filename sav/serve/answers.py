"""A photo in, the bytes of an answer out; runs in the worker's thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from sav.d2 import Instances
from sav.drawing.parts import keep_confident
from sav.formats.annotation_format import LabelledPhoto
from sav.formats.coco import COCO
from sav.formats.records import PartInstance
from sav.ontology import Ontology
from sav.predict.predictor import SAVPredictor
from sav.predict.writers import Prediction, write_json, write_labelme, write_mask, write_overlay
from sav.serve.limits import Limits
from sav.serve.neighbours import Pictures, describe_neighbours
from sav.serve.upload import Upload, decode_photo

Format = Literal["json", "coco", "labelme", "mask", "overlay"]


def write_coco(path: Path, prediction: Prediction) -> None:
    """Write the instances as COCO does: an instances file with scores and vehicle ids."""
    height, width = prediction.image.shape[:2]
    photo = prediction.path
    parts = _part_instances(prediction.parts, prediction.ontology)
    labelled = LabelledPhoto(photo, photo.name, height, width, parts, path.stem)
    COCO.write(iter([labelled]), prediction.ontology.class_names, path.parent)
    (path.parent / f"instances_{path.stem}.json").replace(path)


def _part_instances(parts: Instances, ontology: Ontology) -> list[PartInstance]:
    columns = parts.pred_classes.tolist(), parts.vehicle_ids.tolist(), parts.scores.tolist()
    return [
        replace(
            PartInstance.of_mask(ontology.class_names[class_id], mask, vehicle),
            score=round(score, 4),
        )
        for class_id, vehicle, score, mask in zip(*columns, parts.pred_masks.numpy(), strict=True)
    ]


WRITERS: dict[str, tuple[Callable[[Path, Prediction], None], str]] = {
    "json": (write_json, "application/json"),
    "coco": (write_coco, "application/json"),
    "labelme": (write_labelme, "application/json"),
    "mask": (write_mask, "image/png"),
    "overlay": (write_overlay, "image/png"),
}
"""What writes each format, and its media type."""


@dataclass(frozen=True)
class Question:
    """What is asked of a photo.

    Attributes:
        upload: the photo.
        format: of the answer.
        vocabulary: name of the view to answer in.
        score_threshold: parts that score less are left out.
        neighbours: how many to name for each vehicle; with JSON only.
        pictures: whether the neighbours have pictures.
    """

    upload: Upload
    format: Format
    vocabulary: str
    score_threshold: float
    neighbours: int = 0
    pictures: bool = False


@dataclass(frozen=True)
class Answerer:
    """Answers questions, one at a time.

    Attributes:
        predictors: by the vocabulary that they answer in; they share one model.
        limits: of photos.
        pictures: of the gallery's vehicles.
    """

    predictors: Mapping[str, SAVPredictor]
    limits: Limits
    pictures: Pictures

    def __call__(self, question: Question) -> tuple[bytes, str]:
        """Answer one.

        The photo and the answer are files for a moment, in a folder that is removed in any case.

        Returns:
            the body and its media type.

        Raises:
            RequestError: the photo is not within the limits, or cannot be read.
            SAVError: the server cannot write its temporary files.
        """
        upload, predictor = question.upload, self.predictors[question.vocabulary]
        with TemporaryDirectory(prefix="sav-serve-") as name:
            folder = Path(name)
            (folder / "in").write_bytes(upload.data)
            image = decode_photo(folder / "in", self.limits)
            (output,) = predictor.predict_outputs([image])
            parts = keep_confident(output["instances"], question.score_threshold)
            # Formats with paths say where the photo is, seen from them: beside.
            photo = Path(upload.name) if question.format == "json" else folder / upload.name
            part_map = output["part_map"].numpy()
            prediction = Prediction(photo, image, parts, part_map, predictor.ontology)
            write, media_type = WRITERS[question.format]
            answer = folder / ("out.png" if media_type == "image/png" else "out.json")
            write(answer, prediction)
            body = answer.read_bytes()
        if question.format == "json" and question.neighbours:
            found = predictor.nearest(image, question.neighbours)
            pictures = self.pictures if question.pictures else None
            body = _add(body, {"neighbours": describe_neighbours(found, pictures)})
        return body, media_type


def _add(body: bytes, more: dict[str, Sequence[Any]]) -> bytes:
    return json.dumps(json.loads(body) | more, allow_nan=False).encode()
