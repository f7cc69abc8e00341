"""Which weights of SAM's image encoder train, and on which canvas."""

from __future__ import annotations

from segment_anything.modeling import ImageEncoderViT
from torch import nn
from torch.nn import functional as F

from sav.errors import SAVError

TUNINGS = ("frozen", "lora", "full")


def resize_position_embedding(encoder: ImageEncoderViT, image_size: int) -> None:
    """Make an image encoder built for one canvas work on another.

    Only the absolute embedding is resized here, bicubically as ViTDet does, whose network this is
    (arXiv 2203.16527). The relative embeddings of the global blocks stay as they are: the network
    itself interpolates them, linearly, to the canvas that it sees. Blocks that attend within
    windows have the same windows on every canvas.

    Args:
        encoder: changed in place.
        image_size: new canvas side in pixels, a multiple of the patch size.

    Raises:
        SAVError: the size is not a multiple of the patch size.
    """
    patch = encoder.patch_embed.proj.kernel_size[0]
    if image_size % patch:
        raise SAVError(f"INPUT.SAV.SIZE: {image_size} is not a multiple of {patch}")
    side = image_size // patch
    if encoder.pos_embed is None or encoder.pos_embed.shape[1] == side:
        return
    resized = F.interpolate(
        encoder.pos_embed.detach().permute(0, 3, 1, 2),
        size=(side, side),
        mode="bicubic",
        align_corners=False,
    )
    encoder.pos_embed = nn.Parameter(resized.permute(0, 2, 3, 1).contiguous())


def set_tuning(
    encoder: ImageEncoderViT, tuning: str, *, rank: int, alpha: float, dropout: float
) -> None:
    """Choose which weights of an image encoder train.

    Args:
        encoder: changed in place.
        tuning: "frozen": none; "lora": low-rank updates (arXiv 2106.09685) of the qkv and output
            projections of all blocks, which change nothing at the start; "full": all.
        rank: of the updates.
        alpha: the updates count alpha / rank.
        dropout: of the updates' input.

    Raises:
        SAVError: another tuning, or a rank below 1.
    """
    if tuning not in TUNINGS:
        raise SAVError(f"MODEL.SAM.TUNING: '{tuning}' is none of {', '.join(TUNINGS)}")
    encoder.requires_grad_(tuning == "full")
    if tuning != "lora":
        return
    # Seconds to import, and of use to this tuning alone.
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415

    if rank < 1:
        raise SAVError(f"MODEL.SAM.LORA.RANK: {rank} is below 1")
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=r"blocks\.\d+\.attn\.(qkv|proj)",
    )
    inject_adapter_in_model(config, encoder)
