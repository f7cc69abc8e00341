"""Photo in, named part instances out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import torch

from sav.config import load_config, without_first_weights
from sav.d2 import CfgNode, Instances, build_model
from sav.data.crops import PhotoCrops
from sav.data.letterbox import Letterbox
from sav.device import check_device
from sav.errors import SAVError
from sav.gallery.files import GALLERY_FILE, load_gallery
from sav.gallery.photos import Photo, photo_hash
from sav.gallery.vehicles import Vehicle
from sav.modeling.crops import nothing_found, predict_crops
from sav.modeling.meta_arch import SAV
from sav.modeling.weights import gallery_fingerprint, load_weights
from sav.ontology import Ontology, find_view
from sav.precision import Precision
from sav.predict.inputs import PhotoLike, to_array, whole_pixels
from sav.run_folder import CONFIG_FILE, GALLERY_FOLDER, SHIPPED, WEIGHTS_FILE

if TYPE_CHECKING:
    import supervision

Boxes = Sequence[Sequence[float]] | np.ndarray


class Neighbour(NamedTuple):
    """An exemplar that resembles a vehicle in a photo.

    Attributes:
        of: which of the photo's vehicles it resembles, from 0.
        row: in the gallery.
        vehicle: where it comes from.
        similarity: in [-1, 1].
        mirrored: whether its mirror image is used, with left parts as right ones.
    """

    of: int
    row: int
    vehicle: Vehicle
    similarity: float
    mirrored: bool


class SAVPredictor:
    """Finds vehicle parts in photos; no clicks, no boxes.

    Example::

        predictor = SAVPredictor.from_pretrained()
        parts = predictor(image)
        for mask, cls in zip(parts.pred_masks, parts.pred_classes):
            print(predictor.class_names[cls], mask.sum())

    Threads may share a predictor. Several processes: start them by "spawn", or let each load its
    own before any has predicted; a fork of a process that has predicted lacks its threads.

    Args:
        cfg: the config that the model was built from.
        model: with its weights and its gallery; it is put into evaluation mode.

    Attributes:
        ontology: the part vocabulary; class ids of predictions index its classes.

    Raises:
        SAVError: the model does not know the vocabulary, or TEST.PRECISION is unknown.
    """

    def __init__(self, cfg: CfgNode, model: SAV) -> None:
        self.cfg = cfg
        self.model = model.eval()
        views = [queries.view for queries in model.views]
        view = views[find_view(views, cfg.MODEL.SAV.TEST.VOCABULARY)]
        self.ontology: Ontology = view.vocabulary
        self._precision = Precision.for_test(cfg, model)
        self._process: int | None = None  # that has predicted

    @classmethod
    def from_pretrained(
        cls,
        run_folder: str | Path = SHIPPED,
        device: str | torch.device | None = None,
        vocabulary: str | None = None,
        gallery: str | Path | None = None,
        *,
        tiles: bool = False,
    ) -> SAVPredictor:
        """Load a run: its config, its final weights and its gallery.

        Args:
            run_folder: OUTPUT_DIR of a finished training; the model that comes with SAV.
            device: where to run; None takes a GPU when there is one.
            vocabulary: the view to answer in; None for MODEL.SAV.TEST.VOCABULARY, or else the
                model's own parts.
            gallery: another one than that of the run, built with the same weights.
            tiles: look for small vehicles in tiles of a photo, too, whatever MODEL.SAV.TEST.TILES
                says.

        Raises:
            SAVError: a file is missing, broken, or does not fit the config; or there is no such
                device.
        """
        folder = Path(run_folder)
        if not folder.is_dir():
            raise SAVError(f"{folder}: no such run folder; give the OUTPUT_DIR of a training")
        cfg = load_config(folder / CONFIG_FILE)
        if vocabulary:
            cfg.MODEL.SAV.TEST.VOCABULARY = vocabulary
        if tiles:
            cfg.MODEL.SAV.TEST.TILES = True
        if gallery is None:
            gallery = folder / GALLERY_FOLDER
        elif not cfg.MODEL.SAV.CONTEXT.ENABLED:
            raise SAVError(f"{folder}: this model looks into no gallery")
        elif not (Path(gallery) / GALLERY_FILE).is_file():
            raise SAVError(f"{gallery}: no gallery there; make one with 'sav gallery build'")
        return cls.from_config(cfg, folder / WEIGHTS_FILE, gallery, device)

    @classmethod
    def from_config(
        cls,
        cfg: CfgNode,
        weights: str | Path,
        gallery: str | Path | None = None,
        device: str | torch.device | None = None,
    ) -> SAVPredictor:
        """Build the model of a config and load its weights strictly.

        Args:
            cfg: a config with SAV's keys.
            weights: a safetensors file of the whole model, or a checkpoint of a run.
            gallery: a gallery folder; without one that exists the model has no exemplars.
            device: where to run; None takes a GPU when there is one.

        Raises:
            SAVError: a file is missing, broken, or does not fit the config; or there is no such
                device.
        """
        cfg = without_first_weights(cfg)
        cfg.MODEL.DEVICE = check_device(device)
        cfg.freeze()
        model = build_model(cfg)
        load_weights(model, Path(weights))
        if gallery is not None and model.context is not None and Path(gallery).is_dir():
            model.context.gallery = load_gallery(Path(gallery))
            model.context.gallery.check_fingerprint(gallery_fingerprint(model), str(gallery))
        return cls(cfg, model)

    @property
    def class_names(self) -> list[str]:
        """Names by class id."""
        return self.ontology.class_names

    @overload
    def __call__(self, image: PhotoLike, boxes: Boxes | None = None) -> Instances: ...

    @overload
    def __call__(self, image: list[PhotoLike]) -> list[Instances]: ...

    def __call__(
        self, image: PhotoLike | list[PhotoLike], boxes: Boxes | None = None
    ) -> Instances | list[Instances]:
        """Find the parts in one photo, or in each of a list of photos.

        Args:
            image: a path, a PIL image, an array (H, W, 3) or a tensor (3, H, W), both uint8 RGB,
                see :func:`~sav.predict.inputs.to_array`; or a list of such.
            boxes: (M, 4) XYXY in pixels, the vehicles that any detector has found. The model looks
                at these alone, each cut out and enlarged. None lets it find the vehicles itself.

        Returns:
            Instances on the CPU at the photo's size: pred_masks (N, H, W) bool, pred_boxes in XYXY
            pixels, scores (N,) in [0, 1], pred_classes (N,) int64, vehicle_ids (N,) int64: with
            boxes the row of the vehicle's box.

        Raises:
            SAVError: that is no photo, a box has no pixel in it, or there are boxes for a list.
        """
        if isinstance(image, list | tuple):
            if boxes is not None:
                raise SAVError("boxes are of one photo; give the photos of a list one by one")
            return self.predict_batch(image)
        if boxes is None:
            return self.predict_batch([image])[0]
        return self._predict_boxes(image, boxes)

    def predict_batch(self, images: Iterable[PhotoLike]) -> list[Instances]:
        """Find the parts in several photos of any sizes in one pass, as :meth:`__call__` in one."""
        return [output["instances"] for output in self.predict_outputs(images)]

    @torch.no_grad()
    def predict_outputs(self, images: Iterable[PhotoLike]) -> list[dict[str, Any]]:
        """Like :meth:`predict_batch`, with the label map of each photo.

        Returns:
            For each photo {"instances": Instances, "part_map": (H, W) uint8 tensor of class id + 1,
            0 background, "components": boxes of what lies apart, see
            :func:`sav.modeling.components.vehicle_components`}, on the CPU.

        Raises:
            SAVError: one is no photo; or this process was forked, see
                :class:`SAVPredictor`.
        """
        inputs = [self._to_input(to_array(image)) for image in images]
        if not inputs:
            return []
        with self._precision.autocast():
            return self._predict_on_cpu(inputs)

    @torch.no_grad()
    def _predict_boxes(self, image: PhotoLike, boxes: Boxes) -> Instances:
        item = self._to_input(to_array(image))
        size = item["height"], item["width"]
        output = nothing_found(size)
        vehicles = dict(enumerate(whole_pixels(boxes, size)))
        with self._precision.autocast():
            predict_crops(self._predict_on_cpu, item, output, vehicles)
        return output["instances"]

    def _predict_on_cpu(self, inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        self._check_process()
        return [{k: value.to("cpu") for k, value in out.items()} for out in self.model(inputs)]

    def _check_process(self) -> None:
        """Refuse what would hang: OpenMP's threads are not in a fork of the process they run in."""
        if self._process not in (None, os.getpid()) and torch.get_num_threads() > 1:
            raise SAVError(
                "this process was forked after the predictor had been used, and its threads are "
                "not in it; load the predictor in each process, started by 'spawn', or call "
                "torch.set_num_threads(1) before the first prediction"
            )
        self._process = os.getpid()

    def to_supervision(self, parts: Instances) -> supervision.Detections:
        """Parts of this predictor for the package supervision, see docs/export.md.

        Returns:
            Detections in the same order, with "class_name" and "vehicle_id" in their data.

        Raises:
            SAVError: supervision is not installed.
        """
        try:
            import supervision  # noqa: PLC0415
        except ImportError as error:
            raise SAVError(
                f"this needs the package supervision ({error}): pip install supervision"
            ) from error
        classes = parts.pred_classes.numpy()
        names = np.array(self.class_names, dtype=np.str_)[classes]
        return supervision.Detections(
            xyxy=parts.pred_boxes.tensor.numpy(),
            mask=parts.pred_masks.numpy(),
            confidence=parts.scores.numpy(),
            class_id=classes,
            data={"class_name": names, "vehicle_id": parts.vehicle_ids.numpy()},
        )

    def nearest(self, image: PhotoLike, count: int, *, copies: bool = True) -> list[Neighbour]:
        """Find the exemplars that the model uses to predict the parts in a photo.

        Args:
            image: see :meth:`__call__`.
            count: how many exemplars of each vehicle that is predicted there.
            copies: False leaves out copies of this photo, as training does.

        Returns:
            Those of the first vehicle, the most similar first, then those of the next; fewer where
            there are no more.

        Raises:
            SAVError: that is no photo, or the model has no context module.
        """
        if self.model.context is None:
            raise SAVError("MODEL.SAV.CONTEXT.ENABLED is False: this model looks into no gallery")
        inputs = [self._to_input(to_array(image))]
        self._check_process()
        with self._precision.autocast():
            keys = self.model.retrieval_keys(inputs)
        photo = None if copies else Photo("", hash=photo_hash(to_array(image)))
        gallery = self.model.context.gallery
        found = gallery.search_with_mirror(keys, count, [photo] * len(keys.keys))
        return [
            Neighbour(of, row, gallery.vehicles[row], *how)
            for of, neighbours in enumerate(zip(*(x.tolist() for x in found), strict=True))
            for row, *how in zip(*neighbours, strict=True)
            if row >= 0
        ]

    def _to_input(self, image: np.ndarray) -> dict[str, Any]:
        """Check a photo and bring it to the model's size."""
        height, width = image.shape[:2]
        crop = PhotoCrops(image, Letterbox(self.model.preprocess.size))
        whole = crop((0, 0, width, height))
        return {**whole, "crop": crop, "vocabulary": self.ontology.name}
