"""Building the gallery of a model from annotated photos."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from torch import distributed as dist
from tqdm import tqdm

from sav.d2 import CfgNode, MetadataCatalog, build_detection_test_loader, comm
from sav.data.letterbox import Letterbox
from sav.data.mapper import PartDatasetMapper
from sav.files import file_digest
from sav.gallery.exemplars import ExemplarBatch
from sav.gallery.store import Gallery
from sav.modeling.meta_arch import SAV
from sav.modeling.weights import gallery_fingerprint
from sav.precision import Precision


def build_gallery(cfg: CfgNode, model: SAV, gallery: Gallery | None = None) -> Gallery:
    """Encode every annotated photo once, unaugmented, with the model's present weights.

    Args:
        cfg: its DATASETS.TRAIN are the vehicles.
        model: with the weights to use.
        gallery: to be added to, in place; what it has of the same data sets is replaced. None
            starts with an empty one.

    Returns:
        the gallery, ready for search.
    """
    if gallery is None:
        gallery = type(model.context.gallery)(gallery_fingerprint(model))
    augmentations = [Letterbox(cfg.INPUT.SAV.SIZE)]
    mapper = PartDatasetMapper(cfg, is_train=True, augmentations=augmentations)
    was_training = model.training
    model.eval()
    for name in dict.fromkeys(cfg.DATASETS.TRAIN):
        gallery.remove_source(name)
        loader = build_detection_test_loader(
            cfg, name, mapper=mapper, batch_size=cfg.MODEL.SAV.TEST.BATCH
        )
        progress = tqdm(loader, desc=f"Gallery of {name}", unit="batch", leave=False, disable=None)
        with Precision.for_test(cfg, model).autocast():
            batches = [model.exemplars(batch).to_storage() for batch in progress]
        before = len(gallery)
        for share in _shares(batches):
            for batch in share:
                if batch.exemplars is not None:
                    gallery.update(batch.vehicles, batch.exemplars)
        file = MetadataCatalog.get(name).get("json_file")  # None for what comes from no file
        digest = file and file_digest(Path(file))
        vehicles = len(gallery) - before
        gallery.sources[name] = {"file": file, "digest": digest, "vehicles": vehicles}
    gallery.build_index()
    model.train(was_training)
    logging.getLogger(__name__).info("Gallery built: %d vehicles", len(gallery))
    return gallery


def _shares(batches: list[ExemplarBatch]) -> Iterator[list[ExemplarBatch]]:
    """The batches of each process in turn, in all: those of all at once are another gallery."""
    for rank in range(comm.get_world_size()):
        share = [batches if rank == comm.get_rank() else None]
        if comm.get_world_size() > 1:
            dist.broadcast_object_list(share, src=rank)
        yield share[0]
