"""A photo and its neighbours in the gallery on one sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sav.d2 import Instances
from sav.drawing.layouts import draw_layout
from sav.drawing.parts import CONFIDENT, draw_parts, keep_confident
from sav.drawing.sheet import Panel, write_sheet
from sav.errors import SAVError
from sav.evaluation.prediction_sheet import truth_instances
from sav.formats.coco import read_coco
from sav.formats.images import read_rgb
from sav.ontology import Ontology
from sav.predict.predictor import Neighbour, SAVPredictor

_PANEL = 480
_COLUMNS = 3
_LAYOUT = (_PANEL, _PANEL * 3 // 4)  # a gallery does not know how wide its vehicles are


def draw_neighbours(
    path: Path, image: np.ndarray, found: Sequence[Neighbour], predictor: SAVPredictor
) -> int:
    """Write a sheet: the photo with its predicted parts, the neighbours with their annotations.

    Of a neighbour whose photo is not here its layout is drawn, which the gallery has.

    Args:
        path: the image file to write.
        image: (H, W, 3) uint8 RGB.
        found: its neighbours; where the mirror image is used, that is drawn.
        predictor: found them in its gallery.

    Returns:
        for how many neighbours the photo is not here.

    Raises:
        SAVError: the sheet cannot be written.
    """
    parts = keep_confident(predictor(image), CONFIDENT)
    drawn = _draw(image, parts, predictor.ontology)
    panels = [Panel(drawn, ["the photo", "with predicted parts"])]
    read = cache(read_coco)  # neighbours often come from one file
    missing = 0
    several = any(neighbour.of for neighbour in found)
    for neighbour in found:
        of = f"vehicle {neighbour.of + 1}: " if several else ""
        mirrored = ", mirror image" if neighbour.mirrored else ""
        title = f"{of}similarity {neighbour.similarity:.3f}{mirrored}"
        caption = [title, neighbour.vehicle.photo.id]
        drawn = _draw_photo(neighbour, predictor, read)
        if drawn is None:
            missing += 1
            drawn = _draw_layout(neighbour, predictor)
            caption.append("photo not here: its stored layout")
        panels.append(Panel(drawn, caption))
    write_sheet(path, [panels[i : i + _COLUMNS] for i in range(0, len(panels), _COLUMNS)])
    return missing


def _draw(image: np.ndarray, parts: Instances, ontology: Ontology) -> np.ndarray:
    return draw_parts(image, parts, ontology, min_side=_PANEL, max_side=_PANEL, show_scores=False)


def _draw_photo(
    neighbour: Neighbour, predictor: SAVPredictor, read: Callable[[Path], dict[str, Any]]
) -> np.ndarray | None:
    """The neighbour with what its annotation file says; None where its photo is not here."""
    photo = neighbour.vehicle.photo
    try:
        image = read_rgb(photo.file or "")
    except SAVError:
        return None
    height, width = image.shape[:2]
    # Without its annotation file the photo alone is drawn.
    name, _, image_id = photo.id.rpartition("/")
    record = {"file_name": photo.file, "height": height, "width": width, "annotations": []}
    vocabularies = {q.view.name: q.view.vocabulary for q in predictor.model.views}
    ontology = next(iter(vocabularies.values()))
    file = predictor.model.context.gallery.sources.get(name, {}).get("file")
    if file and Path(file).is_file():
        contents = read(Path(file))
        stated = (contents.get("info") or {}).get("ontology")
        ontology = vocabularies.get(stated, ontology)
        ids = sorted(category["id"] for category in contents["categories"])
        record["annotations"] = [
            {**annotation, "category_id": ids.index(annotation["category_id"])}
            for annotation in contents["annotations"]
            if str(annotation["image_id"]) == image_id
        ]
    parts = truth_instances(record)
    if neighbour.mirrored:
        image = image[:, ::-1]
        parts.pred_masks = parts.pred_masks.flip(-1)
        parts.pred_classes = torch.tensor(ontology.mirror_ids)[parts.pred_classes]
    return _draw(image, parts, ontology)


def _draw_layout(neighbour: Neighbour, predictor: SAVPredictor) -> np.ndarray:
    """The neighbour's annotated parts in the box of its vehicle, as the gallery has them."""
    ontology = predictor.model.ontology
    layout = predictor.model.context.gallery.exemplars.layouts[neighbour.row].numpy()
    if neighbour.mirrored:
        layout = layout[ontology.mirror_ids, :, ::-1]
    return draw_layout(layout, ontology, _LAYOUT)
