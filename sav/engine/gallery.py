"""The gallery of a model: kept up to date while it trains, built anew when it is done."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from tqdm import tqdm

from sav.d2 import CfgNode, HookBase, MetadataCatalog, build_detection_test_loader, comm
from sav.data.augmentation import FitCanvas
from sav.data.mapper import PartDatasetMapper
from sav.gallery.exemplars import GalleryViews
from sav.gallery.store import Gallery
from sav.modeling.meta_arch import SAV


class GalleryHook(HookBase):
    """After each step moves what its photos lend to the gallery, the same in all processes.

    Args:
        model: whose gallery it is.
    """

    def __init__(self, model: SAV) -> None:
        self._model = model

    def after_step(self) -> None:
        """Share out the views of this step and insert them."""
        add_shared_views(self._model.gallery, self._model.views)
        self._model.views = []


def add_shared_views(gallery: Gallery, views: list[GalleryViews]) -> None:
    """Insert the views of all processes; every process must call it.

    Args:
        gallery: the same in all processes, before and after.
        views: what this process saw.
    """
    gallery.add_views(comm.all_gather([view.to_storage() for view in views]))


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
        gallery = Gallery(model.gallery_fingerprint())
    mapper = PartDatasetMapper(
        cfg, is_train=True, augmentations=[FitCanvas(cfg.INPUT.SAV.SIZE, cfg.MODEL.PIXEL_MEAN)]
    )
    was_training = model.training
    model.eval()
    for name in dict.fromkeys(cfg.DATASETS.TRAIN):
        gallery.remove_source(name)
        loader = build_detection_test_loader(
            cfg, name, mapper=mapper, batch_size=cfg.MODEL.SAV.TEST.BATCH
        )
        progress = tqdm(loader, desc=f"Gallery of {name}", unit="batch", leave=False, disable=None)
        views = [model.gallery_views(batch).to_storage() for batch in progress]
        before = len(gallery)
        for share in comm.all_gather(views):
            gallery.add_views([share])
        gallery.sources[name] = {**_source(name), "vehicles": len(gallery) - before}
    gallery.settle()
    model.train(was_training)
    logging.getLogger(__name__).info("Gallery built: %d vehicles", len(gallery))
    return gallery


def _source(name: str) -> dict[str, str | None]:
    """The annotation file of a data set and its digest; None for what comes from no file."""
    file = MetadataCatalog.get(name).get("json_file")
    return {"file": file, "digest": file and file_digest(Path(file))}


def file_digest(path: Path) -> str:
    """Sixteen hexadecimal digits that change when the file's contents do."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
