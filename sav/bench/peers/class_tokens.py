"""One learned token a class on SAV's decoder, as CWSAM (arXiv 2401.02326) and WPS-SAM have it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from sav.bench.peers.peer import Parts, Peer
from sav.bench.peers.pieces import read_pieces
from sav.d2 import META_ARCH_REGISTRY, CfgNode
from sav.modeling.criterion import PartCriterion
from sav.modeling.embedding import EMBEDDING_DIM
from sav.modeling.encoders import build_encoder
from sav.modeling.original_frame import Frame
from sav.modeling.postprocess import label_map
from sav.modeling.sam.decoder import DecoderOutput, PartDecoder
from sav.modeling.targets import Supervision, Targets
from sav.precision import float32


@META_ARCH_REGISTRY.register()
class ClassTokens(Peer):
    """One token a class, whose mask is all of the class in the photo.

    No graph, no slots, no gallery, no class maps. Instances are the connected components of a mask;
    their score is SAV's, presence times IoU, times the mean probability inside.

    Args:
        cfg: SAV's own.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        self.encoder = build_encoder(cfg)
        self.decoder = PartDecoder.from_config(cfg, self.encoder.output_shape())
        self.criterion = PartCriterion.from_config(cfg)
        self.class_tokens = nn.Parameter(torch.randn(len(self.ontology), EMBEDDING_DIM))

    def decode(self, images: torch.Tensor) -> DecoderOutput:
        """The decoder's output, a query a class."""
        tokens = self.class_tokens.expand(len(images), -1, -1)
        return self.decoder(self.encoder(images), tokens)

    def losses(self, images: torch.Tensor, supervision: Supervision) -> dict[str, torch.Tensor]:
        """SAV's losses of masks, presence and IoU."""
        whole = [_by_class(target, len(self.ontology)) for target in supervision.targets]
        return self.criterion.supervise(self.decode(images), replace(supervision, targets=whole))

    @float32()
    def _parts(self, output: DecoderOutput, frame: Frame) -> Parts:
        """Of one photo."""
        masks, presence = output.masks[0], output.presence[0].sigmoid()
        instances = read_pieces(
            *(masks, masks.sigmoid(), presence * output.iou[0].sigmoid()),
            threshold=self.score_threshold,
            kinds=self.kinds,
            frame=frame,
        )
        labels = label_map(masks, presence, self.classes, background=self.background, frame=frame)
        return {"instances": instances, "part_map": labels}

    def predict(self, images: torch.Tensor, frames: list[Frame]) -> list[Parts]:
        """The masks of the classes, and their connected components."""
        pairs = zip(self.decode(images).split(), frames, strict=True)
        return [self._parts(output, frame) for output, frame in pairs]


def _by_class(target: Targets, num_classes: int) -> Targets:
    """All instances of a class as one."""
    classes = target.classes.unique()
    joined = replace(target, vehicles=[0] * len(target.vehicles))
    masks = joined.parts(num_classes, vehicle=0)[classes]
    return replace(target, classes=classes, masks=masks, vehicles=[0] * len(classes))
