"""A photo and its neighbours in the gallery on one sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sav.d2 import Instances
from sav.drawing.parts import draw_parts
from sav.drawing.sheet import Panel, write_sheet
from sav.errors import SAVError
from sav.evaluation.prediction_sheet import truth_instances
from sav.formats.coco import read_coco
from sav.formats.images import read_rgb
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery
from sav.ontology import Ontology
from sav.predict.predictor import Neighbour

_PANEL = 480
_COLUMNS = 3
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
        found: its neighbours; where the mirror image is used, that is drawn.
        gallery: in which they are.
        ontology: names and colours of the parts.
        vocabularies: those that the neighbours may be annotated with.

    Raises:
        SAVError: the sheet cannot be written.
    """
    read = cache(read_coco)  # neighbours often come from one file
    panels = [Panel(_draw(image, parts, ontology), ["the photo", "with predicted parts"])]
    for rank, (photo, similarity, mirrored) in enumerate(found, start=1):
        shown = ", mirror image" if mirrored else ""
        caption = [f"neighbour {rank}, similarity {similarity:.3f}{shown}", photo.id]
        drawn = _neighbour(photo, mirrored, gallery, vocabularies, read)
        panels.append(Panel(drawn, caption))
    rows = [panels[i : i + _COLUMNS] for i in range(0, len(panels), _COLUMNS)]
    write_sheet(path, rows)


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
    name, _, image_id = photo.id.rpartition("/")
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
