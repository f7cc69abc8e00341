"""A sheet of photos with truth and prediction side by side."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sav.d2 import Instances, MetadataCatalog, comm
from sav.data.annotations import load_instance_masks
from sav.drawing.parts import CONFIDENT, draw_parts, drawing_size, keep_confident, resize_image
from sav.drawing.sheet import Panel, write_sheet
from sav.evaluation.evaluator import Photo, PhotoEvaluator
from sav.formats.images import read_rgb
from sav.ontology import load_ontology

_ROWS = 8
_PANEL = 560
"""Long side of one picture, in pixels."""


class PredictionSheet(PhotoEvaluator):
    """Draws some images of the test set, spread evenly through it, into one PNG.

    It measures nothing: its results are empty.

    Args:
        dataset_name: a registered part data set.
        records: those of the data set.
        path: the PNG to write.
    """

    def __init__(self, dataset_name: str, records: Sequence[dict[str, Any]], path: Path) -> None:
        count = min(_ROWS, len(records))
        # The middles of `count` equal stretches of the data set.
        chosen = [(2 * i + 1) * len(records) // (2 * count) for i in range(count)]
        self._chosen = {records[i]["image_id"]: records[i] for i in chosen}
        self._path = path
        self._ontology = load_ontology(MetadataCatalog.get(dataset_name).ontology)
        super().__init__(dataset_name, records)

    def reset(self) -> None:
        """Forget the predictions kept."""
        self._kept: dict[Any, Instances] = {}

    def add(self, photo: Photo) -> None:
        """Keep the confident predictions, if the photo is one of the chosen."""
        if photo.image_id in self._chosen:
            self._kept[photo.image_id] = keep_confident(photo.instances, CONFIDENT)

    def evaluate(self) -> dict[str, Any]:
        """Write the sheet on the first process; returns {}."""
        kept = ChainMap(*comm.gather(self._kept))
        rows = [self._row(record, kept[i]) for i, record in self._chosen.items() if i in kept]
        if rows:
            titles = ["photo", "truth", f"prediction, score at least {CONFIDENT:.0%}"]
            rows[0] = [Panel(p.picture, [title]) for p, title in zip(rows[0], titles, strict=True)]
            write_sheet(self._path, rows)
        return {}

    def _row(self, record: dict[str, Any], prediction: Instances) -> list[Panel]:
        image = read_rgb(record["file_name"])
        size = drawing_size(image.shape[1], image.shape[0], _PANEL, _PANEL)
        drawn = [
            draw_parts(image, parts, self._ontology, min_side=_PANEL, max_side=_PANEL)
            for parts in (truth_instances(record), prediction)
        ]
        return [Panel(picture) for picture in (resize_image(image, size), *drawn)]


def truth_instances(record: dict[str, Any]) -> Instances:
    """The annotations of a data set record in the form of predictions.

    Returns:
        Instances with pred_masks (N, H, W) bool and pred_classes (N,) int64.
    """
    masks, classes, _ = load_instance_masks(record)
    truth = Instances((record["height"], record["width"]))
    truth.pred_masks = torch.from_numpy(masks.astype(bool))
    truth.pred_classes = torch.from_numpy(classes)
    return truth
