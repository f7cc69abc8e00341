"""Priors of the vehicles in part annotation files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from sav.errors import SAVError
from sav.formats.coco import read_coco
from sav.formats.masks import Code, decode_codes, run_length_code
from sav.ontology import Ontology, load_ontology
from sav.ontology.mining import PriorMiner, to_grid
from sav.ontology.priors import Priors


class AnnotatedVehicle(NamedTuple):
    """The parts of one vehicle of a photo.

    Attributes:
        classes: (N,) int64 class ids.
        codes: N run-length codes of masks, none of which is empty.
        size: height and width of the photo in pixels.
    """

    classes: np.ndarray
    codes: list[Code]
    size: tuple[int, int]

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) float64 XYXY pixels of the masks."""
        boxes = coco_mask.toBbox(self.codes)
        boxes[:, 2:] += boxes[:, :2]
        return boxes


def mine_priors(files: Sequence[Path], ontology: str | None = None) -> Priors:
    """Mine the priors of the vehicles in part annotation files.

    A vehicle is what shares image and vehicle_id; crowds and masks without a pixel are left out.

    Args:
        files: part annotation files of one vocabulary.
        ontology: its name or YAML file; None takes the name in the first file.

    Raises:
        SAVError: a file is missing, broken, of another vocabulary, or shows no vehicle.
    """
    contents = {path: read_coco(path) for path in files}
    known = ontology or (contents[files[0]].get("info") or {}).get("ontology")
    if known is None:
        raise SAVError(f"{files[0]}: it names no ontology; give it with --ontology")
    miner = PriorMiner(load_ontology(known))
    for path, content in contents.items():
        for vehicle in annotated_vehicles(path, content, miner.ontology):
            _mine_vehicle(vehicle, miner)
    return miner.finish([path.name for path in files])


def annotated_vehicles(
    path: Path, contents: dict[str, Any], ontology: Ontology
) -> Iterator[AnnotatedVehicle]:
    """The vehicles of a part annotation file; see :func:`mine_priors` for what is one.

    Args:
        path: names the file in errors.
        contents: of the file.
        ontology: whose classes it has.

    Raises:
        SAVError: it is of another vocabulary, or an annotation is broken.
    """
    categories = sorted(contents["categories"], key=lambda category: category["id"])
    if [category["name"] for category in categories] != ontology.class_names:
        raise SAVError(f"{path}: its categories are not the classes of {ontology.name}, in order")
    class_ids = {category["id"]: i for i, category in enumerate(categories)}
    sizes = {image["id"]: (image["height"], image["width"]) for image in contents["images"]}
    vehicles = defaultdict(list)
    for annotation in contents["annotations"]:
        if not annotation.get("iscrowd", 0):
            vehicles[annotation["image_id"], annotation.get("vehicle_id", 0)].append(annotation)
    for (image_id, _), parts in tqdm(
        vehicles.items(), desc=path.name, unit=" vehicles", disable=None
    ):
        classes, codes = [], []
        for part in parts:
            try:
                cls = class_ids[part["category_id"]]
                code = run_length_code(part["segmentation"], *sizes[image_id])
            except KeyError as error:
                raise SAVError(f"{path}: annotation {part['id']}: no id {error} exists") from error
            except SAVError as error:
                raise SAVError(f"{path}: annotation {part['id']}: {error}") from error
            if coco_mask.area(code):
                classes.append(cls)
                codes.append(code)
        if codes:
            yield AnnotatedVehicle(np.array(classes), codes, sizes[image_id])


def _mine_vehicle(vehicle: AnnotatedVehicle, miner: PriorMiner) -> None:
    boxes = vehicle.boxes
    frame = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    # One at a time: all masks of a large photo together would take hundreds of megabytes.
    masks = [to_grid(decode_codes([code], *vehicle.size)[0], frame) for code in vehicle.codes]
    miner.add(vehicle.classes, boxes, np.stack(masks))
