"""A photo and its neighbours in the gallery on one sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from sav.d2 import Instances
from sav.drawing.parts import draw_parts
from sav.errors import SAVError
from sav.evaluation.sheet import truth_instances
from sav.files import atomic_path
from sav.formats.coco import read_coco
from sav.formats.images import read_rgb
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery
from sav.ontology import Ontology
from sav.predict.predictor import Neighbour

_PANEL = 480
_CAPTION = 56
_GAP = 8
_COLUMNS = 3
_FONT = 18
_TEXT = (40, 40, 40)
_NOTHING = (225, 225, 225)


def draw_neighbours(
    path: Path,
    image: np.ndarray,
    parts: Instances,
    found: Sequence[Neighbour],
    *,
    gallery: Gallery,
    ontology: Ontology,
    vocabularies: Sequence[Ontology],
) -> None:
    """Write a sheet: the photo with its predicted parts, the neighbours with their annotations.

    Args:
        path: the image file to write.
        image: (H, W, 3) uint8 RGB.
        parts: predicted in it.
        found: neighbours; those that are looked at in the mirror are drawn so.
        gallery: in which they are.
        ontology: names and colours of the parts.
        vocabularies: those that the neighbours may be annotated with.

    Raises:
        SAVError: the sheet cannot be written.
    """
    read = cache(read_coco)  # neighbours often come from one file
    panels = [(["the photo", "with predicted parts"], _draw(image, parts, ontology))]
    for rank, (photo, similarity, mirrored) in enumerate(found, start=1):
        shown = ", mirror image" if mirrored else ""
        caption = [f"neighbour {rank}, similarity {similarity:.3f}{shown}", photo.key]
        panels.append((caption, _neighbour(photo, mirrored, gallery, vocabularies, read)))
    with atomic_path(path) as temporary:
        try:
            _grid(panels).save(temporary)
        except ValueError as error:
            raise SAVError(f"{path}: give the name of an image file, such as x.png") from error


def _draw(image: np.ndarray, parts: Instances, ontology: Ontology) -> np.ndarray:
    return draw_parts(image, parts, ontology, min_side=_PANEL, max_side=_PANEL, show_scores=False)


def _neighbour(
    photo: Photo,
    mirrored: bool,
    gallery: Gallery,
    vocabularies: Sequence[Ontology],
    read: Callable[[Path], dict[str, Any]],
) -> np.ndarray:
    """The neighbour with what its annotation file says; grey where its photo is not here."""
    try:
        image = read_rgb(photo.file or "")
    except SAVError:
        return np.full((_PANEL, _PANEL, 3), _NOTHING, dtype=np.uint8)
    height, width = image.shape[:2]
    # Without its annotation file the photo alone is drawn.
    name, _, image_id = photo.key.rpartition("/")
    record = {"file_name": photo.file, "height": height, "width": width, "annotations": []}
    ontology = vocabularies[0]
    file = gallery.sources.get(name, {}).get("file")
    if file and Path(file).is_file():
        contents = read(Path(file))
        stated = (contents.get("info") or {}).get("ontology")
        ontology = next((v for v in vocabularies if v.name == stated), ontology)
        ids = sorted(category["id"] for category in contents["categories"])
        record["annotations"] = [
            {**annotation, "category_id": ids.index(annotation["category_id"])}
            for annotation in contents["annotations"]
            if str(annotation["image_id"]) == image_id
        ]
    parts = truth_instances(record)
    if mirrored:
        image = image[:, ::-1]
        parts.pred_masks = parts.pred_masks.flip(-1)
        parts.pred_classes = torch.tensor(ontology.mirror_ids)[parts.pred_classes]
    return _draw(image, parts, ontology)


def _grid(panels: Sequence[tuple[list[str], np.ndarray]]) -> Image.Image:
    """Captioned pictures in rows of `_COLUMNS`."""
    columns = min(_COLUMNS, len(panels))
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    heights = [_CAPTION + max(picture.shape[0] for _, picture in row) for row in rows]
    size = columns * (_PANEL + _GAP) - _GAP, sum(heights) + _GAP * (len(rows) - 1)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_FONT)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, (caption, picture) in enumerate(row):
            left = column * (_PANEL + _GAP)
            sheet.paste(Image.fromarray(picture), (left, top + _CAPTION))
            for line, text in enumerate(caption):
                fitting = _fit(text, font)
                draw.text((left + 4, top + 4 + line * (_FONT + 6)), fitting, fill=_TEXT, font=font)
        top += height + _GAP
    return sheet


def _fit(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """Cut the start of a text that is wider than a panel: the end of a key tells it apart."""
    if font.getlength(text) <= _PANEL - 8:
        return text
    while text and font.getlength("..." + text) > _PANEL - 8:
        text = text[1:]
    return "..." + text
