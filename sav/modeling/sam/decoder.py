"""The part decoder: Segment Anything's mask decoder for all parts in one pass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from segment_anything.modeling.mask_decoder import MLP
from segment_anything.modeling.prompt_encoder import PositionEmbeddingRandom
from torch import nn

from sav.d2 import CfgNode, ShapeSpec
from sav.errors import SAVError
from sav.modeling.embedding import EMBEDDING, EMBEDDING_DIM
from sav.modeling.pyramid import PYRAMID_WIDTH, FinePyramid
from sav.modeling.sam.checkpoint import read_sam_checkpoint
from sav.precision import float32

NEVER = -1e4  # a logit; fits into half precision

_SAM_FEATURE_DIM = EMBEDDING_DIM // 8
_PRESENCE_BIAS = -2.0
_SAM_TRANSFORMER = (2, 8, 2048)  # layers, heads, MLP width of all official checkpoints
_SAM_MASK_TOKENS = 4
# The line nearest to the logit over IoUs from 0.5 to 0.98; there sigmoid(line) is within 0.05 of
# the IoU.
IOU_SLOPE, IOU_OFFSET = 6.05, -3.2


@dataclass
class DecoderOutput:
    """The decoder's output for B images and N queries.

    Attributes:
        masks: (B, N, h, w) logits at stride 4, from any encoder.
        presence: (B, N) logits that the query's part is in the photo.
        iou: (B, N) the mask's expected IoU, a logit.
        features: (B, F, h, w), what the masks are products of; half precision under autocast,
            unlike the others.
        class_logits: (B, 1 + C, h, w) of the background and every part at each place, coarse to
            fine; see :class:`sav.modeling.graph.class_maps.ClassMaps`.
    """

    masks: torch.Tensor
    presence: torch.Tensor
    iou: torch.Tensor
    features: torch.Tensor
    class_logits: tuple[torch.Tensor, ...] = ()

    def float(self) -> DecoderOutput:
        """With masks and scores in float32."""
        masks, presence, iou = (x.float() for x in (self.masks, self.presence, self.iou))
        return replace(self, masks=masks, presence=presence, iou=iou)

    def joined(self) -> DecoderOutput:
        """Masks and scores as those of one image with B * N queries; the rest is left out."""
        columns = (x.flatten(0, 1)[None] for x in (self.masks, self.presence, self.iou))
        return DecoderOutput(*columns, features=self.features[:0])

    def split(self) -> list[DecoderOutput]:
        """That of each image, as a batch of one."""
        return [self.select(slice(row, row + 1)) for row in range(len(self.presence))]

    def select(self, rows: torch.Tensor | slice) -> DecoderOutput:
        """That of some of the images, an index (R,)."""
        columns = (self.masks, self.presence, self.iou, self.features)
        logits = tuple(logits[rows] for logits in self.class_logits)
        return DecoderOutput(*(column[rows] for column in columns), logits)


def choose(which: torch.Tensor, first: DecoderOutput, second: DecoderOutput) -> DecoderOutput:
    """The first output for the images where ``which`` (B,) is true, and the second elsewhere.

    No gradient flows into the second. Features and class logits are those of the second.
    """
    return replace(
        second,
        masks=torch.where(which[:, None, None, None], first.masks, second.masks.detach()),
        presence=torch.where(which[:, None], first.presence, second.presence.detach()),
        iou=torch.where(which[:, None], first.iou, second.iou.detach()),
    )


class PartDecoder(nn.Module):
    """SAM's two-way transformer, upscaling and hypernetwork, with N part queries in one pass.

    In SAM the hypernetwork reads the mask token and one head reads the IoU token. Here the same
    modules read each query. SAM is the special case of its own tokens: :meth:`read` what
    :meth:`attend` makes of the IoU token, the mask tokens and the embedded clicks, and the IoU is
    at the first token, the mask at the mask token.

    As in SAM, an embedding that says "no mask was drawn" is added to the image embedding.

    Encoders with finer maps ("skip8", "skip4") have a feature pyramid in place of SAM's upscaling,
    and a linear shortcut joins the hypernetwork: both help to learn from few photos, and the 3 x 3
    convolutions at every level make borders sharp and find small parts.

    Args:
        encoder_shape: what the encoder returns.
        depth: layers of the two-way transformer.
        heads: attention heads.
        mlp_dim: hidden width of the transformer's MLPs.

    Attributes:
        feature_dim: F, channels of the features.
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
        self.pyramid = None
        self.feature_dim = _SAM_FEATURE_DIM
        if len(encoder_shape) > 1:
            self.pyramid = FinePyramid(encoder_shape)
            self.feature_dim = PYRAMID_WIDTH
            del self.sam.output_upscaling
            hypernetwork = MLP(EMBEDDING_DIM, EMBEDDING_DIM, PYRAMID_WIDTH, 3)
            self.sam.output_hypernetworks_mlps = nn.ModuleList([hypernetwork])
        self.shortcut = nn.Linear(EMBEDDING_DIM, self.feature_dim)
        if self.pyramid is not None:
            nn.init.constant_(self.mask_bias, _PRESENCE_BIAS)
            self.no_mask_embed = None  # the last bias of the encoder's neck does the same
        else:
            # Nothing may stand between SAM's weights and SAM's masks at the start.
            self.no_mask_embed = nn.Parameter(torch.zeros(EMBEDDING_DIM))
            nn.init.zeros_(self.shortcut.weight)
            nn.init.zeros_(self.shortcut.bias)

    @classmethod
    def from_config(cls, cfg: CfgNode, encoder_shape: dict[str, ShapeSpec]) -> PartDecoder:
        """As MODEL.SAV.DECODER says, with SAM's weights where MODEL.SAM.CHECKPOINT has them."""
        sizes = cfg.MODEL.SAV.DECODER
        decoder = cls(
            encoder_shape=encoder_shape,
            depth=sizes.DEPTH,
            heads=sizes.HEADS,
            mlp_dim=sizes.MLP_DIM,
        )
        if cfg.MODEL.BACKBONE.NAME == "SAMEncoder" and cfg.MODEL.SAM.CHECKPOINT:
            official = read_sam_checkpoint(cfg.MODEL.SAM.CHECKPOINT)
            decoder.load_sam(official, cfg.MODEL.SAM.MASK_TOKEN)
        return decoder

    def load_sam(self, official: dict[str, torch.Tensor], mask_token: int = 0) -> None:
        """Take over the decoder of an official SAM checkpoint.

        SAM has four mask tokens, each with a hypernetwork and an IoU of its own. All queries here
        go on from one of them.

        Args:
            official: the checkpoint's tensors, by official name.
            mask_token: 0 is SAM's single mask, 1 to 3 are its three masks of an ambiguous click.

        Raises:
            SAVError: the transformer is not of SAM's shape, or there is no such mask token.
        """
        transformer = self.sam.transformer
        shape = transformer.depth, transformer.num_heads, transformer.mlp_dim
        if shape != _SAM_TRANSFORMER:
            raise SAVError(
                "MODEL.SAV.DECODER: SAM's weights need DEPTH {}, HEADS {} and MLP_DIM {}".format(
                    *_SAM_TRANSFORMER
                )
            )
        if mask_token not in range(_SAM_MASK_TOKENS):
            raise SAVError(f"MODEL.SAM.MASK_TOKEN: {mask_token} is not one of 0 to 3")
        prefix = "mask_decoder."
        state = {k.removeprefix(prefix): v for k, v in official.items() if k.startswith(prefix)}
        hypernetworks = "output_hypernetworks_mlps."
        kept = {k: v for k, v in state.items() if not k.startswith(hypernetworks)}
        for key in self.sam.state_dict():
            if key.startswith(hypernetworks):
                kept[key] = state[key.replace(".0.", f".{mask_token}.", 1)]
        last = f"iou_prediction_head.layers.{len(self.sam.iou_prediction_head.layers) - 1}"
        for key in ("mask_tokens.weight", f"{last}.weight", f"{last}.bias"):
            kept[key] = state[key][mask_token : mask_token + 1]
        self.sam.load_state_dict(kept, strict=True)
        with torch.no_grad():
            self.no_mask_embed.copy_(official["prompt_encoder.no_mask_embed.weight"][0])
            self._calibrate_iou()
        matrix = official["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
        self.position.load_state_dict({"positional_encoding_gaussian_matrix": matrix}, strict=True)

    def _calibrate_iou(self) -> None:
        """Make SAM's head, which gives an IoU, give the logit of it: about, by a straight line."""
        last = self.sam.iou_prediction_head.layers[-1]
        last.weight.mul_(IOU_SLOPE)
        last.bias.mul_(IOU_SLOPE).add_(IOU_OFFSET)

    def forward(self, encoded: dict[str, torch.Tensor], queries: torch.Tensor) -> DecoderOutput:
        """Decode all queries.

        Args:
            encoded: the encoder's output, with "embedding" (B, 256, h, w).
            queries: (B, N, 256) part prompts.
        """
        prompts = queries + self.sam.mask_tokens.weight
        tokens = torch.cat(
            [self.sam.iou_token.weight.expand(queries.shape[0], 1, -1), prompts], dim=1
        )
        tokens, features = self.attend(encoded, tokens)
        return self.read(tokens[:, 1:], features)

    def attend(
        self, encoded: dict[str, torch.Tensor], tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Two-way attention between tokens and image, then the image's features.

        Args:
            encoded: the encoder's output, with "embedding" (B, 256, h, w).
            tokens: (B, T, 256), in any order.

        Returns:
            Tokens (B, T, 256) and features (B, F, H, W), see DecoderOutput.
        """
        embedding = encoded[EMBEDDING]
        if self.no_mask_embed is not None:
            embedding = embedding + self.no_mask_embed[:, None, None]
        batch, _, height, width = embedding.shape
        with float32():  # the position of a place is the angle of a sine
            position = self.position((height, width))
        position = position.to(embedding.dtype).expand(batch, -1, -1, -1)
        tokens, keys = self.sam.transformer(embedding, position, tokens)
        return tokens, self._features(keys.transpose(1, 2).reshape(embedding.shape), encoded)

    def read(self, tokens: torch.Tensor, features: torch.Tensor) -> DecoderOutput:
        """Masks and scores from attended tokens (B, N, 256) and features (B, F, H, W)."""
        weights = self.sam.output_hypernetworks_mlps[0](tokens) + self.shortcut(tokens)
        with float32():
            masks = torch.einsum("bnd,bdhw->bnhw", weights.float(), features.float())
        return DecoderOutput(
            masks=masks + self.mask_bias,
            presence=self.presence(tokens).squeeze(-1),
            iou=self.sam.iou_prediction_head(tokens).squeeze(-1),
            features=features,
        ).float()

    def _features(self, embedding: torch.Tensor, encoded: dict[str, torch.Tensor]) -> torch.Tensor:
        if self.pyramid is None:
            return self.sam.output_upscaling(embedding)
        return self.pyramid({**encoded, EMBEDDING: embedding})
