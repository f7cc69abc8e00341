"""What flows through the shipped model when it predicts one synthetic photo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from sav import SAVPredictor
from sav.config import load_config
from sav.d2 import CfgNode
from sav.data.registration import register_part_datasets
from sav.engine.gallery import build_gallery
from sav.formats.vehicleseg10k import VehicleSegSource, convert_vehicleseg10k
from sav.modeling.context.frame import crop
from sav.modeling.context.keys import LAYOUT_SIDE, layout_key
from sav.modeling.meta_arch import SAV
from sav.run_folder import CONFIG_FILE, SHIPPED
from sav.synthetic import generate_dataset, render_scene

_VEHICLES = 60
_SHOWN = ("hood", "windshield", "left_front_door", "left_front_wheel")


def as_shape(*sizes: str | int) -> str:
    """Such as "C x 256", with a multiplication sign."""
    return " \N{MULTIPLICATION SIGN} ".join(map(str, sizes))


class Observation:
    """One forward pass.

    Attributes:
        photo: (H, W, 3) uint8 RGB.
        ontology: the model's vocabulary.
        classes: (N,) class of each query.
        found: (M,) class of each instance.
        values: what flows through the model, by name, float32 without the batch dimension.
        sizes: the numbers that symbols in ``shapes`` stand for.
        shapes: of the values, in symbols.
    """

    def __init__(self) -> None:
        """Predict."""
        predictor = SAVPredictor.from_pretrained(device="cpu")
        model, self.ontology = predictor.model, predictor.ontology
        _fill_gallery(model)
        self.photo = render_scene(np.random.default_rng(20), 512).image[100:484]
        with _record(model) as calls:
            (read,) = predictor.predict_outputs([self.photo])
        self.classes = model.queries.classes.numpy()
        self.found = read["instances"].pred_classes.numpy()
        decoded = calls[model.class_maps][1]
        (exemplars, _, vehicles, _), evidence = calls[model.context.evidence]
        corrected = calls[model.context.corrector][1]
        layout = crop(vehicles.parts, vehicles.boxes, LAYOUT_SIDE)
        tensors = {
            "canvas": calls[model.preprocess][1],
            "embedding": calls[model.encoder][1]["embedding"],
            "prompts": calls[model.graph][1][None],
            "queries": calls[model.queries][1],
            "masks": decoded.masks,
            "presence": decoded.presence,
            "iou": decoded.iou,
            "class maps": decoded.class_logits[1].softmax(1)[:, 1:],
            "layout": layout,
            "key": layout_key(layout),
            "exemplar layouts": exemplars.layouts,
            "exemplar prototypes": exemplars.prototypes,
            "evidence": torch.stack([evidence.layout, evidence.error, evidence.appearance], 1),
            "corrected masks": corrected.masks,
            "instances": read["instances"].pred_masks[None],
            "label map": read["part_map"][None],
        }
        self.values = {name: tensor[0].float().numpy() for name, tensor in tensors.items()}
        self.sizes = {
            "S": model.preprocess.size,
            "C": len(self.ontology),
            "N": len(self.classes),
            "k": exemplars.similarity.shape[1],
            "M": len(self.found),
            "H": self.photo.shape[0],
            "W": self.photo.shape[1],
        }
        self.shapes = {name: self._in_symbols(name) for name in self.values}

    @property
    def colors(self) -> np.ndarray:
        """(C, 3) in [0, 1]."""
        return np.array([part.color for part in self.ontology.classes]) / 255

    def shown_queries(self) -> list[int]:
        """For each of four classes the query that is surest of its presence."""
        presence = self.values["presence"]
        wanted = [self.ontology.class_id(name) for name in _SHOWN]
        return [max(np.flatnonzero(self.classes == i), key=presence.__getitem__) for i in wanted]

    def _in_symbols(self, name: str) -> str:
        names = {number: symbol for symbol, number in self.sizes.items()}
        if len(names) < len(self.sizes):
            raise ValueError(f"two symbols stand for one number: {self.sizes}")
        classes, side = self.sizes["C"], self.sizes["S"]
        if name != "canvas":
            del names[side]  # the width of embeddings may be the same number
        names |= {classes + 1: "(C + 1)", 81 * classes: "81 C"}
        if "layout" not in name:
            names |= {side // stride: f"S/{stride}" for stride in (4, 16)}
        shape = self.values[name].shape
        return as_shape(*(names.get(number, number) for number in shape))


def _fill_gallery(model: SAV) -> None:
    """Make the gallery of synthetic vehicles, which can be shown."""
    with TemporaryDirectory() as folder:
        root = Path(folder) / "figure"
        options = {"splits": {"train": _VEHICLES}, "ontology": model.ontology.name}
        generate_dataset(root, seed=5, workers=1, **options)
        source = VehicleSegSource(root, model.ontology)
        with redirect_stdout(StringIO()):
            convert_vehicleseg10k(source, root / "coco", splits=["train"])
        options = ["DATASETS.TRAIN", "('figure',)", "DATASETS.TEST", "()"]
        cfg = load_config(SHIPPED / CONFIG_FILE, options)
        cfg.DATASETS.PARTS = CfgNode({"figure": str(root / "coco" / "instances_train.json")})
        register_part_datasets(cfg)
        model.context.gallery = build_gallery(cfg, model)


@contextmanager
def _record(model: nn.Module) -> Iterator[dict[nn.Module, tuple[Any, Any]]]:
    """Arguments and result of each module's last call."""
    calls: dict[nn.Module, tuple[Any, Any]] = {}

    def keep(module: nn.Module, arguments: Any, result: Any) -> None:
        calls[module] = arguments, result

    hooks = [module.register_forward_hook(keep) for module in model.modules()]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()
