"""Segment Anything's image encoder."""

from __future__ import annotations

import re
from typing import Any

import torch
from segment_anything.modeling import ImageEncoderViT

from sav.d2 import BACKBONE_REGISTRY, Backbone, CfgNode, ShapeSpec, configurable
from sav.modeling.embedding import EMBEDDING, EMBEDDING_DIM
from sav.modeling.encoders.attention import fuse_attention
from sav.modeling.encoders.tuning import resize_position_embedding, set_tuning
from sav.modeling.sam.checkpoint import load_image_encoder

SAM_STRIDE = 16


@BACKBONE_REGISTRY.register()
class SAMEncoder(Backbone):
    """Segment Anything's ViT image encoder (arXiv 2304.02643).

    Args:
        body: a SAM's image encoder, see :func:`sav.modeling.sam.checkpoint.load_image_encoder`.
        image_size: canvas side S; positional embeddings are resized to it.
        tuning: "frozen", "lora" or "full", see :func:`sav.modeling.encoders.tuning.set_tuning`.
        rank: of LoRA.
        alpha: of LoRA.
        dropout: of LoRA.
    """

    @configurable
    def __init__(
        self,
        *,
        body: ImageEncoderViT,
        image_size: int,
        tuning: str,
        rank: int,
        alpha: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.body = body
        resize_position_embedding(body, image_size)
        fuse_attention(body)
        set_tuning(body, tuning, rank=rank, alpha=alpha, dropout=dropout)
        self.frozen = tuning == "frozen"

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        """Read MODEL.SAM."""
        sam = cfg.MODEL.SAM
        return {
            "body": load_image_encoder(sam.TYPE, sam.CHECKPOINT),
            "image_size": cfg.INPUT.SAV.SIZE,
            "tuning": sam.TUNING,
            "rank": sam.LORA.RANK,
            "alpha": sam.LORA.ALPHA,
            "dropout": sam.LORA.DROPOUT,
        }

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Args: images (B, 3, S, S). Returns: "embedding" (B, 256, S/16, S/16)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return {EMBEDDING: self.body(images)}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and strides of what :meth:`forward` returns."""
        return {EMBEDDING: ShapeSpec(channels=EMBEDDING_DIM, stride=SAM_STRIDE)}

    def layers_above(self) -> dict[str, int]:
        """How many layers lie above each of the body's parameters.

        The neck has none above it, the last block one, the embeddings of patches and positions one
        more than the first block.
        """
        blocks = len(self.body.blocks)
        above = {}
        for name, _ in self.named_parameters():
            block = re.match(r"body\.blocks\.(\d+)\.", name)
            if block:
                above[name] = blocks - int(block[1])
            elif name.startswith(("body.patch_embed.", "body.pos_embed")):
                above[name] = blocks + 1
        return above
