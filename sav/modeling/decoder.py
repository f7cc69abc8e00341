"""The part decoder: Segment Anything's mask decoder, asked for every part at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from segment_anything.modeling.mask_decoder import MLP
from segment_anything.modeling.prompt_encoder import PositionEmbeddingRandom
from torch import nn
from torch.nn import functional as F

from sav.d2 import ShapeSpec
from sav.modeling.encoders import EMBEDDING, EMBEDDING_DIM

_FEATURE_DIM = EMBEDDING_DIM // 8
_PRESENCE_BIAS = -2.0


@dataclass
class DecoderOutput:
    """What the decoder says of B images and N queries.

    Attributes:
        masks: (B, N, h, w) logits, at stride 4, or 2 where the encoder has maps at stride 2.
        presence: (B, N) logits that the query's part is in the photo.
        iou: (B, N) the mask's expected IoU, a logit.
        features: (B, 32, h, w), what the masks are products of.
    """

    masks: torch.Tensor
    presence: torch.Tensor
    iou: torch.Tensor
    features: torch.Tensor


class PartDecoder(nn.Module):
    """SAM's two-way transformer, upscaling and hypernetwork, with N part queries in one pass.

    In SAM one hypernetwork reads the mask token and one head reads the IoU token. Here the same
    modules read each query. Encoders with finer maps ("skip8", "skip4", "skip2") add them while
    upscaling, the last one in one more step, and a linear shortcut joins the hypernetwork: both
    help to learn from scratch, and on small canvases the finer masks find small parts.

    Args:
        encoder_shape: what the encoder returns.
        depth: layers of the two-way transformer.
        heads: attention heads.
        mlp_dim: hidden width of the transformer's MLPs.
    """

    def __init__(
        self, *, encoder_shape: dict[str, ShapeSpec], depth: int, heads: int, mlp_dim: int
    ) -> None:
        super().__init__()
        transformer = TwoWayTransformer(
            depth=depth, embedding_dim=EMBEDDING_DIM, num_heads=heads, mlp_dim=mlp_dim
        )
        # Without multimask output this is SAM's single-mask decoder: one hypernetwork, one IoU.
        self.sam = MaskDecoder(
            transformer_dim=EMBEDDING_DIM, transformer=transformer, num_multimask_outputs=0
        )
        self.position = PositionEmbeddingRandom(EMBEDDING_DIM // 2)
        self.presence = MLP(EMBEDDING_DIM, EMBEDDING_DIM, 1, 3)
        nn.init.constant_(self.presence.layers[-1].bias, _PRESENCE_BIAS)
        self.mask_bias = nn.Parameter(torch.zeros(()))
        self.shortcut = nn.Linear(EMBEDDING_DIM, _FEATURE_DIM)
        self.has_skips = "skip4" in encoder_shape
        if self.has_skips:
            self.skip8 = nn.Conv2d(encoder_shape["skip8"].channels, EMBEDDING_DIM // 4, 1)
            self.skip4 = nn.Conv2d(encoder_shape["skip4"].channels, _FEATURE_DIM, 1)
            if "skip2" in encoder_shape:
                self.skip2 = nn.Conv2d(encoder_shape["skip2"].channels, _FEATURE_DIM, 1)
                self.finest = nn.ConvTranspose2d(_FEATURE_DIM, _FEATURE_DIM, 2, stride=2)
            # One group is a layer norm of the whole map, in one fused kernel: a per-pixel norm at
            # this resolution would cost a quarter of a training step on a CPU.
            self.feature_norm = nn.GroupNorm(1, _FEATURE_DIM)
            nn.init.constant_(self.mask_bias, _PRESENCE_BIAS)
        else:
            # Nothing may stand between SAM's weights and SAM's masks at the start.
            nn.init.zeros_(self.shortcut.weight)
            nn.init.zeros_(self.shortcut.bias)

    def load_sam(self, official: dict[str, torch.Tensor]) -> None:
        """Take over the decoder of an official SAM checkpoint.

        Of SAM's four mask tokens the first, its single-mask token, is kept.

        Args:
            official: the checkpoint's tensors, by official name.

        Raises:
            RuntimeError: a key or shape does not fit.
        """
        prefix = "mask_decoder."
        state = {k.removeprefix(prefix): v for k, v in official.items() if k.startswith(prefix)}
        multimask = tuple(f"output_hypernetworks_mlps.{i}." for i in (1, 2, 3))
        state = {k: v for k, v in state.items() if not k.startswith(multimask)}
        last = f"iou_prediction_head.layers.{len(self.sam.iou_prediction_head.layers) - 1}"
        for key in ("mask_tokens.weight", f"{last}.weight", f"{last}.bias"):
            state[key] = state[key][:1]
        self.sam.load_state_dict(state, strict=True)
        matrix = official["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
        self.position.load_state_dict({"positional_encoding_gaussian_matrix": matrix}, strict=True)

    def forward(self, encoded: dict[str, torch.Tensor], queries: torch.Tensor) -> DecoderOutput:
        """Decode all queries.

        Args:
            encoded: the encoder's output, with "embedding" (B, 256, h, w).
            queries: (B, N, 256) part prompts.
        """
        embedding = encoded[EMBEDDING]
        batch, _, height, width = embedding.shape
        position = self.position((height, width)).to(embedding.dtype).expand(batch, -1, -1, -1)
        prompts = queries + self.sam.mask_tokens.weight
        tokens = torch.cat([self.sam.iou_token.weight.expand(batch, 1, -1), prompts], dim=1)
        tokens, keys = self.sam.transformer(embedding, position, tokens)
        tokens = tokens[:, 1:]
        features = self._upscale(keys.transpose(1, 2).reshape(embedding.shape), encoded)
        weights = self.sam.output_hypernetworks_mlps[0](tokens) + self.shortcut(tokens)
        masks = torch.einsum("bnd,bdhw->bnhw", weights, features) + self.mask_bias
        return DecoderOutput(
            masks=masks,
            presence=self.presence(tokens).squeeze(-1),
            iou=self.sam.iou_prediction_head(tokens).squeeze(-1),
            features=features,
        )

    def _upscale(self, embedding: torch.Tensor, encoded: dict[str, torch.Tensor]) -> torch.Tensor:
        if not self.has_skips:
            return self.sam.output_upscaling(embedding)
        first, norm, activation, second, last_activation = self.sam.output_upscaling
        half = activation(norm(first(embedding) + self.skip8(encoded["skip8"])))
        full = last_activation(second(half) + self.skip4(encoded["skip4"]))
        if "skip2" in encoded:
            full = F.relu(self.finest(full) + self.skip2(encoded["skip2"]))
        return self.feature_norm(full)
