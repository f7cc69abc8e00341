"""The exemplars that a photo retrieves, with pictures small enough for a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from sav.drawing.layouts import layout_labels
from sav.drawing.parts import drawing_size, resize_image
from sav.errors import SAVError
from sav.formats.images import read_rgb
from sav.predict.predictor import Neighbour, SAVPredictor

_SIDE = 192
_LAYOUT = (_SIDE, _SIDE * 3 // 4)  # a gallery does not know how wide its vehicles are
_GROUND = (225, 225, 225)
_KEPT = 512
"""Pictures of some 8 kB each."""


class Pictures:
    """Draws exemplars.

    Args:
        predictor: has the gallery.
    """

    def __init__(self, predictor: SAVPredictor) -> None:
        self._model = predictor.model
        self.photo = lru_cache(_KEPT)(_photo)
        self.layout = lru_cache(_KEPT)(self._layout)

    def _layout(self, row: int, mirrored: bool) -> str:
        """The annotated parts of the vehicle of a row, in the ontology's colours, as a data URI."""
        ontology = self._model.ontology
        layout = self._model.context.gallery.exemplars.layouts[row].numpy()
        if mirrored:
            layout = layout[ontology.mirror_ids, :, ::-1]
        palette = np.array([_GROUND, *ontology.colors], dtype=np.uint8)
        return _data_uri(palette[layout_labels(layout, _LAYOUT)], ".png")


def _photo(file: str, mirrored: bool) -> str | None:
    """A photo as a data URI; None where it is not here."""
    try:
        image = read_rgb(file)
    except SAVError:
        return None
    size = drawing_size(image.shape[1], image.shape[0], 1, _SIDE)
    small = resize_image(image, size)
    return _data_uri(small[:, ::-1] if mirrored else small, ".jpg")


def _data_uri(image: np.ndarray, suffix: str) -> str:
    _, code = cv2.imencode(suffix, image[:, :, ::-1])
    media_type = {".jpg": "image/jpeg", ".png": "image/png"}[suffix]
    return f"data:{media_type};base64,{base64.b64encode(code.tobytes()).decode('ascii')}"


def describe_neighbours(
    found: Sequence[Neighbour], pictures: Pictures | None
) -> list[dict[str, Any]]:
    """Neighbours as plain data, in their order.

    Args:
        found: see :meth:`SAVPredictor.nearest`.
        pictures: draws them; None for none.

    Returns:
        For each: of, the vehicle that it resembles; id, of its photo; vehicle, its number there;
        similarity in [-1, 1]; mirrored; and with pictures layout and photo, data URIs, the latter
        null where the photo is not here.
    """
    described = []
    for one in found:
        entry = {
            "of": one.of,
            "id": one.vehicle.photo.id,
            "vehicle": one.vehicle.number,
            "similarity": round(one.similarity, 4),
            "mirrored": one.mirrored,
        }
        if pictures is not None:
            file = one.vehicle.photo.file
            entry["layout"] = pictures.layout(one.row, one.mirrored)
            entry["photo"] = pictures.photo(file, one.mirrored) if file else None
        described.append(entry)
    return described
