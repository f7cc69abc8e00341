"""Records in, model inputs out."""

from __future__ import annotations

import os
import sys
from typing import Any

import cv2
import numpy as np
import torch

from sav.d2 import BitMasks, Boxes, CfgNode, Instances, configurable
from sav.d2 import transforms as T
from sav.data.annotations import load_instance_codes, vehicle_map_from_annotations
from sav.data.augmentation import RandomAffine, RandomColor, is_mirrored
from sav.data.background import RandomBackground
from sav.data.crops import PhotoCrops, to_tensor
from sav.data.degradation import RandomCamera, RandomOccluder
from sav.data.letterbox import Letterbox
from sav.errors import SAVError
from sav.formats.images import read_rgb
from sav.formats.masks import decode_codes, mask_box
from sav.gallery.photos import photo_hash
from sav.ontology import load_ontology, load_views

_MIN_PIXELS = 4


class PartDatasetMapper:
    """Turns a record of a part data set into what the model takes.

    For training, the photo and its masks go through one random affine map onto a square canvas of S
    pixels, then the photo is recoloured. A map that mirrors the scene swaps the classes of the two
    sides. Otherwise the photo goes through the letterbox, and no annotation is even looked at.

    Randomness is drawn from numpy's global state, which Detectron2 seeds in each loader worker.
    """

    @configurable
    def __init__(
        self,
        *,
        is_train: bool,
        size: int,
        augmentations: list[T.Augmentation],
        mirror_ids: dict[str, list[int]],
        crops: bool = False,
    ) -> None:
        """Keep the settings.

        Args:
            is_train: augment, and carry annotations.
            size: canvas side S in pixels.
            augmentations: applied in turn; they show the photo on the canvas, of which they may
                leave out what lies below it or to its right.
            mirror_ids: for each vocabulary the class that each of its classes becomes in a mirrored
                photo. Records without a "vocabulary" have the first.
            crops: in prediction, whether the model may ask for pieces of the photo, by "crop".
        """
        self.is_train = is_train
        self.size = size
        self.crops = crops
        self.augmentations = T.AugmentationList(augmentations)
        self._locate = any(isinstance(one, RandomBackground) for one in augmentations)
        self.mirror_ids = {name: np.array(ids, dtype=np.int64) for name, ids in mirror_ids.items()}

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Read ``INPUT.SAV``."""
        options = cfg.INPUT.SAV
        views = load_views(load_ontology(cfg.MODEL.SAV.ONTOLOGY), cfg.MODEL.SAV.VIEWS)
        affine = RandomAffine(
            size=options.SIZE,
            scale=options.SCALE,
            aspect=options.ASPECT,
            rotation=options.ROTATION,
            shift=options.SHIFT,
            flip_prob=options.FLIP_PROB,
            border=tuple(cfg.MODEL.PIXEL_MEAN),
        )
        color = RandomColor(strength=options.COLOR, grey_prob=options.GREY_PROB)
        occluder = RandomOccluder(prob=options.OCCLUDER_PROB)
        camera = RandomCamera(strength=options.CAMERA)
        background = RandomBackground(
            prob=options.BACKGROUND_PROB,
            scale=options.BACKGROUND_SCALE,
            datasets=options.BACKGROUNDS,
        )
        random = [affine, *([background] if background.prob else []), occluder, color, camera]
        return {
            "is_train": is_train,
            "size": options.SIZE,
            "crops": cfg.MODEL.SAV.TEST.CROPS > 0,
            "augmentations": random if is_train else [Letterbox(options.SIZE)],
            "mirror_ids": {view.name: view.vocabulary.mirror_ids for view in views},
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Map one record, which stays as it is.

        Args:
            dataset_dict: a record of the catalog.

        Returns:
            the record without its annotations, with "image" (3, h, w) uint8 RGB and, for training,
            "instances": gt_boxes, gt_classes, gt_masks (BitMasks), gt_vehicle_ids on the canvas,
            and "seed" for what the model draws at random for this photo.
            "height", "width" and "photo_hash" are those of the original photo.

        Raises:
            SAVError: the photo is missing, broken, or not of the size that the record states.
        """
        if torch.utils.data.get_worker_info() is not None:
            _settle_in_worker()
        record = {key: value for key, value in dataset_dict.items() if key != "annotations"}
        image = read_rgb(record["file_name"])
        height, width = image.shape[:2]
        stated = record.setdefault("height", height), record.setdefault("width", width)
        if stated != (height, width):
            raise SAVError(
                f"{record['file_name']}: the image is {width}x{height}, but the data set says "
                f"{stated[1]}x{stated[0]}; prepare it again"
            )
        record["photo_hash"] = photo_hash(image)
        where = vehicle_map_from_annotations(dataset_dict) if self._locate else None
        aug_input = T.AugInput(image, sem_seg=where)
        transform = self.augmentations(aug_input)
        record["image"] = to_tensor(aug_input.image)
        if not self.is_train:
            if self.crops:
                record["crop"] = PhotoCrops(image, Letterbox(self.size))
            return record
        record["seed"] = int(np.random.randint(2**31))
        record["instances"] = self._instances({**dataset_dict, **record}, transform)
        return record

    def _instances(self, record: dict[str, Any], transform: T.Transform) -> Instances:
        codes, classes, vehicles = load_instance_codes(record)
        if is_mirrored(transform):
            name = record.get("vocabulary", next(iter(self.mirror_ids)))
            classes = self.mirror_ids[name][classes]
        canvas = np.zeros((len(codes), self.size, self.size), dtype=np.uint8)
        for i, code in enumerate(codes):
            # One by one: all masks of a camera's photo at its full size are hundreds of megabytes.
            (mask,) = decode_codes([code], record["height"], record["width"])
            mask = transform.apply_segmentation(mask)
            canvas[i, : mask.shape[0], : mask.shape[1]] = mask
        keep = np.flatnonzero(canvas.sum(axis=(1, 2), dtype=np.int64) >= _MIN_PIXELS)
        canvas = canvas[keep]
        boxes = np.array([mask_box(mask) for mask in canvas], dtype=np.float32).reshape(-1, 4)
        instances = Instances((self.size, self.size))
        instances.gt_boxes = Boxes(torch.from_numpy(boxes))
        instances.gt_classes = torch.from_numpy(classes[keep])
        instances.gt_masks = BitMasks(torch.from_numpy(canvas.astype(bool)))
        instances.gt_vehicle_ids = torch.from_numpy(vehicles[keep])
        return instances


def _settle_in_worker() -> None:
    """Adapt a loader's worker process; after the first time there is nothing to do."""
    if cv2.getNumThreads() > 1:
        cv2.setNumThreads(0)  # The workers are the parallelism; more threads only fight.
    # Ctrl-C in a terminal, and `timeout`, signal the whole group of a process. That is for the one
    # that trains: it finishes its iteration first, and needs its workers for that.
    if sys.platform != "win32" and os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
