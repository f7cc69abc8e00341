"""A plain per-pixel head: a feature pyramid and a classifier."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from sav.bench.peers.body import BodyMaps
from sav.bench.peers.peer import Parts, Peer
from sav.bench.peers.pieces import read_pieces
from sav.d2 import META_ARCH_REGISTRY, CfgNode
from sav.modeling.original_frame import Frame
from sav.modeling.postprocess import greatest
from sav.modeling.pyramid import PYRAMID_WIDTH, add_levels, feature_pyramid
from sav.modeling.targets import Supervision
from sav.precision import float32


@META_ARCH_REGISTRY.register()
class PlainFPN(Peer):
    """Semantic FPN (arXiv 1901.02446): the levels are added up at stride 4 and classified.

    Learns by cross-entropy and dice at every pixel of the canvas. Instances are the connected
    components of a class; their score is the mean probability inside.

    Args:
        cfg: SAV's own.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        self.encoder = BodyMaps.of(cfg)
        self.pyramid = feature_pyramid(self.encoder.output_shape())
        self.classifier = nn.Conv2d(PYRAMID_WIDTH, 1 + len(self.ontology), 1)

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1 + C, S/4, S/4) of the background and every class, float32."""
        return self.classifier(add_levels(self.pyramid(self.encoder(images)))).float()

    def losses(self, images: torch.Tensor, supervision: Supervision) -> dict[str, torch.Tensor]:
        """Cross-entropy and dice."""
        logits = self.classify(images)
        with float32():
            logits = F.interpolate(
                logits, size=images.shape[-2:], mode="bilinear", align_corners=False
            )
            labels = torch.stack([target.label_map for target in supervision.targets])
            entropy = F.cross_entropy(logits, labels)
            return {"loss_entropy": entropy, "loss_dice": dice_loss(logits, labels)}

    @float32()
    def _parts(self, logits: torch.Tensor, frame: Frame) -> Parts:
        """Of one photo's logits (1 + C, h, w)."""
        first, second = logits.topk(2, dim=0).values
        lead = (logits - torch.where(logits == first, second, first))[1:]
        likely = logits.softmax(0)[1:]
        instances = read_pieces(
            *(lead, likely, torch.ones_like(likely[:, 0, 0])),
            threshold=self.score_threshold,
            kinds=self.kinds,
            frame=frame,
        )
        return {"instances": instances, "part_map": greatest(lead, 0.0, frame)}

    def predict(self, images: torch.Tensor, frames: list[Frame]) -> list[Parts]:
        """The most likely class of each place, and its connected components."""
        pairs = zip(self.classify(images), frames, strict=True)
        return [self._parts(logits, frame) for logits, frame in pairs]


def dice_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the classes that each photo shows, the background not among them.

    Args:
        logits: (B, 1 + C, S, S), background first.
        labels: (B, S, S) int64 in [0, C].
    """
    likely = logits.softmax(1).flatten(2)
    truth = F.one_hot(labels.flatten(1), logits.shape[1]).movedim(2, 1).to(likely)
    shared, total = (likely * truth).sum(2), (likely + truth).sum(2)
    shown = truth.any(2).float()
    shown[:, 0] = 0.0
    return (shown * (1 - (2 * shared + 1) / (total + 1))).sum() / shown.sum().clamp(min=1)
