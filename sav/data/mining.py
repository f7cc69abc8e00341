"""Priors of the vehicles in part annotation files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from sav.errors import SAVError
from sav.formats.coco import read_coco
from sav.formats.masks import decode_codes, run_length_code
from sav.ontology import load_ontology
from sav.ontology.mining import PriorMiner, to_grid
from sav.ontology.priors import Priors


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
        _mine_file(path, content, miner)
    return miner.finish([path.name for path in files])


def _mine_file(path: Path, contents: dict[str, Any], miner: PriorMiner) -> None:
    categories = sorted(contents["categories"], key=lambda category: category["id"])
    if [category["name"] for category in categories] != miner.ontology.class_names:
        name = miner.ontology.name
        raise SAVError(f"{path}: its categories are not the classes of {name}, in order")
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
            _mine_vehicle(np.array(classes), codes, sizes[image_id], miner)


def _mine_vehicle(
    classes: np.ndarray, codes: list[dict[str, Any]], size: tuple[int, int], miner: PriorMiner
) -> None:
    boxes = coco_mask.toBbox(codes)
    boxes[:, 2:] += boxes[:, :2]
    frame = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    # One at a time: all masks of a large photo together would take hundreds of megabytes.
    masks = [to_grid(decode_codes([code], *size)[0], frame) for code in codes]
    miner.add(classes, boxes, np.stack(masks))
