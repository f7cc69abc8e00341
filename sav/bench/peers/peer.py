"""What all peers share: the model's contract, its photos in and its parts out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from sav.d2 import CfgNode, Instances
from sav.errors import SAVError
from sav.modeling.calls import rest_frozen
from sav.modeling.grouping import VehicleKinds
from sav.modeling.original_frame import Frame
from sav.modeling.preprocess import Preprocessor
from sav.modeling.targets import Batch, Supervision
from sav.modeling.views import ViewQueries
from sav.ontology import find_view, load_ontology, load_views

MOST_INSTANCES = 100
"""Of a photo; COCO's AP counts no more."""

Parts = dict[str, Instances | torch.Tensor]
"""Of a photo: "instances" and "part_map"."""


class Peer(nn.Module, ABC):
    """A model that takes and returns what SAV does, of one flat vocabulary.

    Each peer has :meth:`losses` and :meth:`predict`, and an ``encoder``.

    Args:
        cfg: SAV's own.

    Raises:
        SAVError: the config's vocabulary has views.
    """

    context = None  # no peer has a gallery

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.ontology = load_ontology(cfg.MODEL.SAV.ONTOLOGY)
        views = load_views(self.ontology, cfg.MODEL.SAV.VIEWS)
        if len(views) > 1:
            names = ", ".join(view.name for view in views)
            raise SAVError(
                f"MODEL.SAV.ONTOLOGY {self.ontology.name}: it is a graph with the vocabularies "
                f"{names}, and peers (EXPERIMENT.PEER) speak one alone; choose a flat one"
            )
        self.kinds = VehicleKinds.of(self.ontology)
        self.preprocess = Preprocessor.from_config(cfg)
        self.score_threshold = cfg.MODEL.SAV.TEST.SCORE_THRESHOLD
        self.background = cfg.MODEL.SAV.TEST.BACKGROUND
        classes = torch.arange(len(self.ontology))
        self.register_buffer("classes", classes, persistent=False)
        self.view = ViewQueries(views[0], classes, torch.zeros_like(classes))

    def forward(self, batched_inputs: Batch) -> dict[str, torch.Tensor] | list[Parts]:
        """Train on, or predict, a batch: see :meth:`sav.modeling.meta_arch.SAV.forward`.

        Raises:
            SAVError: an image or a vocabulary is not one that the model takes.
        """
        for item in batched_inputs:
            find_view([self.view.view], item.get("vocabulary", ""))
        images = self.preprocess([item["image"] for item in batched_inputs])
        if self.training:
            return self.losses(images, self._supervision(batched_inputs))
        return self.predict(
            images, [Frame.of(item, self.preprocess.size) for item in batched_inputs]
        )

    @abstractmethod
    def losses(self, images: torch.Tensor, supervision: Supervision) -> dict[str, torch.Tensor]:
        """Scalar losses by name, for normalised photos (B, 3, S, S)."""

    @abstractmethod
    def predict(self, images: torch.Tensor, frames: list[Frame]) -> list[Parts]:
        """The parts of each of the normalised photos (B, 3, S, S)."""

    def _supervision(self, batched_inputs: Batch) -> Supervision:
        known = torch.ones(
            len(batched_inputs), len(self.classes), dtype=torch.bool, device=self.classes.device
        )
        views = [self.view] * len(batched_inputs)
        return Supervision.of(batched_inputs, views, known, self.classes)

    def train(self, mode: bool = True) -> Peer:
        """Switch to training or prediction; what is frozen always acts as in prediction."""
        super().train(mode)
        rest_frozen(self)
        return self
