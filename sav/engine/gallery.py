"""Building the gallery of a trained model."""

from __future__ import annotations

import logging

from torch import nn
from tqdm import tqdm

from sav.d2 import CfgNode, build_detection_test_loader, comm
from sav.data import FitCanvas, PartDatasetMapper
from sav.modeling import SAV
from sav.retrieval import Gallery


def build_gallery(cfg: CfgNode, model: nn.Module) -> Gallery:
    """Encode every training photo once, unaugmented, with the model's present weights.

    Args:
        cfg: its DATASETS.TRAIN are the vehicles.
        model: a SAV, possibly wrapped for distributed training.
    """
    sav: SAV = getattr(model, "module", model)
    own = Gallery(sav.gallery_fingerprint())
    mapper = PartDatasetMapper(
        cfg, is_train=True, augmentations=[FitCanvas(cfg.INPUT.SAV.SIZE, cfg.MODEL.PIXEL_MEAN)]
    )
    was_training = sav.training
    sav.eval()
    for name in cfg.DATASETS.TRAIN:
        loader = build_detection_test_loader(
            cfg, name, mapper=mapper, batch_size=cfg.MODEL.SAV.TEST.BATCH
        )
        for batch in tqdm(loader, desc=f"Gallery of {name}", unit="batch", leave=False):
            sav.update_gallery(own, batch)
    sav.train(was_training)
    gallery = _merge(own)
    logging.getLogger(__name__).info("Gallery built: %d vehicles", len(gallery))
    return gallery


def _merge(own: Gallery) -> Gallery:
    """The galleries of all processes, each of which encoded its share of the photos, as one."""
    if comm.get_world_size() == 1:
        return own
    merged = Gallery(own.fingerprint)
    for keys, entries in comm.all_gather((own.keys, own.entries)):
        if keys:
            merged.update(keys, entries)
    return merged
