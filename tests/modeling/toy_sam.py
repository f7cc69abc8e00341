"""A SAM as Segment Anything builds it, with an image encoder so small that tests can run it."""

from functools import partial

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

TOY = "vit_toy"
DEPTH = 2
WIDTH = 32


def build_encoder(side: int = 1024) -> ImageEncoderViT:
    """A block that attends within windows, and one that attends to all."""
    return ImageEncoderViT(
        depth=DEPTH,
        embed_dim=WIDTH,
        img_size=side,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=2,
        use_rel_pos=True,
        global_attn_indexes=(1,),
        window_size=14,
    )


def build_toy_sam(checkpoint: None = None) -> Sam:
    """The prompt encoder and the decoder are those of all official checkpoints."""
    return Sam(
        image_encoder=build_encoder(),
        prompt_encoder=PromptEncoder(
            embed_dim=256,
            image_embedding_size=(64, 64),
            input_image_size=(1024, 1024),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=256,
            transformer=TwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048),
        ),
    )


def set_up(cfg, checkpoint, size, tuning="frozen"):
    """Make a config use the toy SAM."""
    cfg.MODEL.BACKBONE.NAME = "SAMEncoder"
    cfg.MODEL.SAM.TYPE = TOY
    cfg.MODEL.SAM.CHECKPOINT = str(checkpoint)
    cfg.MODEL.SAM.TUNING = tuning
    cfg.INPUT.SAV.SIZE = size
    cfg.MODEL.SAV.DECODER.MLP_DIM = 2048
    return cfg
