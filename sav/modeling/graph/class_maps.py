"""Class maps: which part each place shows, coarse to fine, and what the decoder makes of it."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from sav.modeling.embedding import EMBEDDING_DIM
from sav.modeling.graph.dense_classifier import DenseClassifier
from sav.modeling.sam.decoder import DecoderOutput
from sav.precision import float32

_LEAST, _MOST = -12.0, -1e-5  # logarithms of probabilities


class ClassMaps(nn.Module):
    """Classifies each place of a photo, and adds what that says to the queries' logits.

    A linear classifier of the image embedding knows soon which parts a photo shows and about where,
    long before queries have learned to attend to them. So queries start from it: their masks from
    how likely their part is at each place, their presence from how much of the canvas it takes.
    What they learn is the rest: sharp borders, and which instance is whose.

    The coarse maps are of the embedding. The fine ones are the coarse ones enlarged, plus what the
    decoder's features add.

    Args:
        class_features: (C, D) float of the classes' nodes, see :class:`DenseClassifier`.
        query_classes: (N,) int64 class of each query.
        feature_dim: F, channels of the decoder's features.
    """

    def __init__(
        self, class_features: torch.Tensor, query_classes: torch.Tensor, *, feature_dim: int
    ) -> None:
        super().__init__()
        self.coarse = DenseClassifier(EMBEDDING_DIM, class_features)
        self.fine = DenseClassifier(feature_dim, class_features)
        self.mask_gain = nn.Parameter(torch.ones(()))
        self.presence_gain = nn.Parameter(torch.ones(()))
        self.register_buffer("query_classes", query_classes, persistent=False)

    def forward(
        self, output: DecoderOutput, embedding: torch.Tensor, named: torch.Tensor | None = None
    ) -> DecoderOutput:
        """The decoder's output with class logits, and with what they add to the queries' logits.

        Args:
            output: of B photos and N queries.
            embedding: (B, 256, h, w) of the photos.
            named: (B, C) bool, the classes that can be named in each photo; None for all.
        """
        coarse = self.coarse(embedding, named)
        fine = self.fine(output.features, named)
        with float32():
            enlarged = F.interpolate(
                coarse.float(), size=fine.shape[-2:], mode="bilinear", align_corners=False
            )
            fine = fine.float() + enlarged
            masks, presence = self._evidence(fine)
            return replace(
                output,
                masks=output.masks + self.mask_gain * masks[:, self.query_classes],
                presence=output.presence + self.presence_gain * presence[:, self.query_classes],
                class_logits=(coarse, fine),
            )

    def _evidence(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How far class logits (B, 1 + C, h, w) speak for each class, against knowing nothing.

        Returns:
            (B, C, h, w) that a place shows the class, as log odds; and (B, C) that the photo does,
            as the logarithm of its share of the canvas.
        """
        likely = logits.log_softmax(1)[:, 1:].clamp(_LEAST, _MOST)
        odds = likely - (-likely.expm1()).log() + math.log(likely.shape[1])
        share = likely.flatten(2).logsumexp(2) - math.log(likely[0, 0].numel())
        return odds, share + math.log(1 + likely.shape[1])
