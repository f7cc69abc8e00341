"""The photos with the lowest mean IoU, kept while a data set is evaluated."""

from __future__ import annotations

import heapq
import math
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sav.d2 import Instances, MetadataCatalog, comm
from sav.drawing.parts import draw_parts
from sav.evaluation.evaluator import Photo, PhotoEvaluator
from sav.evaluation.metrics import photo_miou
from sav.evaluation.parts import PartEvaluator
from sav.evaluation.prediction_sheet import truth_instances
from sav.formats.images import read_rgb
from sav.formats.masks import Code, decode_codes
from sav.ontology import Ontology, load_ontology

MOST = 20
_SIDE = 480
"""Long side of a picture in pixels."""


@dataclass(frozen=True)
class KeptPhoto:
    """What a process keeps of a photo.

    Attributes:
        miou: in percent, see :func:`~sav.evaluation.metrics.photo_miou`.
        codes: masks of the confident detections.
        classes: (N,) int64.
        scores: (N,) float32.
    """

    miou: float
    codes: Sequence[Code]
    classes: np.ndarray
    scores: np.ndarray

    def instances(self, height: int, width: int) -> Instances:
        """In the form of predictions."""
        parts = Instances((height, width))
        masks = decode_codes(list(self.codes), height, width)
        parts.pred_masks = torch.from_numpy(masks.astype(bool))
        parts.pred_classes = torch.from_numpy(self.classes)
        parts.scores = torch.from_numpy(self.scores)
        return parts


@dataclass(frozen=True)
class WorstPhoto:
    """A photo to be looked at.

    Attributes:
        record: that of the data set.
        kept: what was found.
        ontology: of the data set.
    """

    record: dict[str, Any]
    kept: KeptPhoto
    ontology: Ontology

    def pictures(self) -> list[np.ndarray]:
        """Truth and prediction, drawn on the photo: (H, W, 3) uint8 RGB each."""
        image = read_rgb(self.record["file_name"])
        found = self.kept.instances(self.record["height"], self.record["width"])
        return [
            draw_parts(image, parts, self.ontology, min_side=_SIDE, max_side=_SIDE)
            for parts in (truth_instances(self.record), found)
        ]


class WorstPhotos(PhotoEvaluator):
    """Keeps what was found in the worst photos, of which there are at most MOST in each process.

    It measures nothing: its results are empty.

    Args:
        dataset_name: a registered part data set.
        records: those of the data set.
        parts: has seen a photo before this one does.

    Attributes:
        photos: the worst of all processes, the worst first, on the first one after
            :meth:`evaluate`.
    """

    photos: list[WorstPhoto]

    def __init__(
        self, dataset_name: str, records: Sequence[dict[str, Any]], parts: PartEvaluator
    ) -> None:
        self._parts = parts
        self._ontology = load_ontology(MetadataCatalog.get(dataset_name).ontology)
        super().__init__(dataset_name, records)

    def reset(self) -> None:
        """Forget all images."""
        self._kept: dict[Any, KeptPhoto] = {}

    def add(self, photo: Photo) -> None:
        """Keep a photo that is among the worst so far."""
        miou = photo_miou(self._parts.confusion_of(photo.image_id))
        if math.isnan(miou) or not self._is_bad(miou):
            return
        found, places = photo.found, photo.found.shown
        codes = [found.codes[place] for place in places]
        kept = codes, found.classes[places], found.scores[places].astype(np.float32)
        self._kept[photo.image_id] = KeptPhoto(miou, *kept)
        self._kept = dict(self._worst(self._kept))

    def evaluate(self) -> dict[str, Any]:
        """Choose the worst photos of all processes; returns {}."""
        kept = ChainMap(*comm.gather(self._kept))
        self.photos = [
            WorstPhoto(self._records[image_id], photo, self._ontology)
            for image_id, photo in self._worst(kept)
        ]
        return {}

    def _is_bad(self, miou: float) -> bool:
        return len(self._kept) < MOST or miou <= max(kept.miou for kept in self._kept.values())

    @staticmethod
    def _worst(kept: ChainMap | dict[Any, KeptPhoto]) -> list[tuple[Any, KeptPhoto]]:
        # By id where they are equal, whatever the number of processes.
        return heapq.nsmallest(MOST, kept.items(), key=lambda item: (item[1].miou, item[0]))
