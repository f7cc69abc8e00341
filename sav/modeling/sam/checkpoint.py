"""Segment Anything's weights, loaded strictly from the official checkpoint files.

An official ``sam_vit_*.pth`` has three kinds of keys, and all are checked: ``image_encoder.`` and
``mask_decoder.`` become our encoder and decoder. Of ``prompt_encoder.`` the positional code of the
image is used and the rest is left, on purpose: the prompts here are parts, not points and boxes.
"""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT

from sav.errors import SAVError
from sav.modeling.weights import check_keys

_ENCODER = "image_encoder."


def load_image_encoder(sam_type: str, checkpoint: str) -> ImageEncoderViT:
    """Build a SAM's image encoder and load an official ``sam_vit_*.pth`` into it.

    All keys of the file are checked, those of the decoder and of the prompt encoder too.

    Args:
        sam_type: "vit_b", "vit_l" or "vit_h", or what else is in segment-anything's registry.
        checkpoint: path of the file; empty for random weights.

    Raises:
        SAVError: unknown type, no such file, not a checkpoint, or a key or shape that does not fit.
    """
    if sam_type not in sam_model_registry:
        known = ", ".join(sorted(sam_model_registry))
        raise SAVError(f"MODEL.SAM.TYPE: '{sam_type}' is none of {known}")
    logger = logging.getLogger(__name__)
    if not checkpoint:
        logger.warning(
            "MODEL.SAM.CHECKPOINT is empty: SAM's weights are random, unless others follow"
        )
        return sam_model_registry[sam_type]().image_encoder
    state = read_sam_checkpoint(checkpoint)
    with torch.device("meta"):  # random weights for up to 640 M parameters would take a while
        sam = sam_model_registry[sam_type]()
    where = f"MODEL.SAM.CHECKPOINT: {checkpoint}"
    check_keys(sam.state_dict(), state, where, f"MODEL.SAM.TYPE {sam_type}")
    weights = {k.removeprefix(_ENCODER): v for k, v in state.items() if k.startswith(_ENCODER)}
    encoder = sam.image_encoder.to_empty(device="cpu")
    encoder.load_state_dict(weights, strict=True)
    logger.info("SAM %s: image encoder loaded from %s", sam_type, Path(checkpoint).name)
    return encoder


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
