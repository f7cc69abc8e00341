"""Segment Anything's weights, loaded strictly from the official checkpoint files."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, Sam
from torch import nn
from torch.nn import functional as F

from sav.errors import SAVError

SAM_TYPES = ("vit_b", "vit_l", "vit_h")


def load_sam(sam_type: str, checkpoint: str) -> Sam:
    """Build a SAM and load an official ``sam_vit_*.pth`` into it.

    Args:
        sam_type: "vit_b", "vit_l" or "vit_h".
        checkpoint: path of the file; empty for random weights.

    Raises:
        SAVError: unknown type, no such file, not a checkpoint, or a key or shape that does not fit.
    """
    if sam_type not in SAM_TYPES:
        raise SAVError(f"MODEL.SAM.TYPE: '{sam_type}' is none of {', '.join(SAM_TYPES)}")
    sam = sam_model_registry[sam_type]()
    logger = logging.getLogger(__name__)
    if not checkpoint:
        logger.warning("MODEL.SAM.CHECKPOINT is empty: SAM starts from random weights")
        return sam
    try:
        sam.load_state_dict(read_sam_checkpoint(checkpoint), strict=True)
    except RuntimeError as error:
        raise SAVError(
            f"MODEL.SAM.CHECKPOINT: {checkpoint} is not an official {sam_type} file: {error}"
        ) from error
    logger.info("SAM %s loaded from %s", sam_type, Path(checkpoint).name)
    return sam


def read_sam_checkpoint(checkpoint: str) -> dict[str, torch.Tensor]:
    """The tensors of an official checkpoint, by official name.

    The file is mapped, not read: taking only the decoder's tensors costs no more than they do.

    Raises:
        SAVError: no such file, or no file of tensors.
    """
    if not Path(checkpoint).is_file():
        raise SAVError(
            f"MODEL.SAM.CHECKPOINT: {checkpoint} does not exist; download sam_vit_*.pth from the "
            "Segment Anything project"
        )
    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise SAVError(
            f"MODEL.SAM.CHECKPOINT: {checkpoint} is not a file of tensors; download it again"
        ) from error


def resize_position_embedding(encoder: ImageEncoderViT, image_size: int) -> None:
    """Make an image encoder built for one canvas work on another.

    The absolute embedding is resized here; segment-anything interpolates the relative ones of its
    global blocks while it runs.

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
