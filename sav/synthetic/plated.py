"""DSMLR's photos with licence plates, which its photos hide and its vocabulary lacks."""

from __future__ import annotations

import json
from collections import defaultdict
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from tqdm import tqdm

from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.coco import read_coco
from sav.formats.images import read_rgb
from sav.formats.masks import decode_codes
from sav.formats.records import PartInstance
from sav.synthetic.plates import paste_plate

NAME = "dsmlr_plates"
_ENDS = (  # the plate that each part of an end holds
    {"front_bumper": "front_plate"},
    {"trunk": "trunk_plate", "tailgate": "trunk_plate", "back_bumper": "bumper_plate"},
)
_QUALITY = 92
_TRIES = 4
_PLATES = {
    "front_plate": {"description": "the licence plate at the front end", "position": [1, 0, -0.5]},
    "trunk_plate": {
        "description": "the licence plate on the lid of the trunk or on the tailgate",
        "position": [-1, 0, 0],
    },
    "bumper_plate": {
        "description": "the licence plate on the rear bumper",
        "position": [-1, 0, -0.6],
    },
}


def write_plated(json_file: Path, out: Path, *, seed: int = 0) -> int:
    """Write the photos that can carry a plate, with one, their annotations and their vocabulary.

    Args:
        json_file: part annotations in the vocabulary dsmlr, as ``sav prepare dsmlr`` writes them.
        out: gets ``images``, ``instances_train.json`` and ``dsmlr_plates.yaml``, a view of the
            graph ``vehicle`` (MODEL.SAV.VIEWS).
        seed: of everything random.

    Raises:
        SAVError: no such file, of another vocabulary, a photo cannot be read, or none can carry a
            plate.

    Returns:
        the number of photos written.
    """
    contents = read_coco(json_file)
    info = contents.get("info", {})
    if info.get("ontology") != "dsmlr":
        raise SAVError(f"{json_file}: its vocabulary is not dsmlr; see 'sav prepare dsmlr'")
    vocabulary = _vocabulary()
    parts = defaultdict(list)
    for annotation in contents["annotations"]:
        parts[annotation["image_id"]].append(annotation)
    images, annotations = [], []
    for image in tqdm(contents["images"], desc="plates", unit="photo", disable=None):
        rng = np.random.default_rng([seed, image["id"]])
        photo = read_rgb(json_file.parent / info.get("image_root", ".") / image["file_name"])
        found = _put_plate(photo, parts[image["id"]], contents["categories"], rng)
        if found is None:
            continue
        name = f"{image['id']}.jpg"
        _, code = cv2.imencode(".jpg", found[0][..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
        write_atomic(out / "images" / name, code.tobytes())
        images.append({**image, "file_name": name})
        annotations += [{**part, "image_id": image["id"]} for part in found[1]]
    if not images:
        raise SAVError(f"{json_file}: no photo shows a part that a plate can be put on")
    written = {
        "info": {"ontology": NAME, "image_root": "images"},
        "images": images,
        "annotations": [{**a, "id": number} for number, a in enumerate(annotations, 1)],
        "categories": [{"id": c["id"] + 1, "name": c["name"]} for c in vocabulary["classes"]],
    }
    write_atomic(out / f"{NAME}.yaml", yaml.safe_dump(vocabulary, sort_keys=False))
    write_atomic(out / "instances_train.json", json.dumps(written) + "\n")
    return len(images)


def _vocabulary() -> dict[str, Any]:
    """DSMLR's classes without plates, and the plates that they hold."""
    text = resources.files("sav.ontology").joinpath("dsmlr.yaml").read_text("utf-8")
    vocabulary = yaml.safe_load(text)
    for part in vocabulary["classes"]:
        part.pop("attached", None)
    for name, plate in _PLATES.items():
        number = len(vocabulary["classes"])
        color = [250, 250, 250 - 20 * (number % 3)]
        vocabulary["classes"].append({"id": number, "name": name, "color": color, **plate})
    return {**vocabulary, "name": NAME}


def _put_plate(
    photo: np.ndarray,
    annotations: list[dict[str, Any]],
    categories: list[dict[str, Any]],
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[dict[str, Any]]] | None:
    """The photo with a plate on one of its parts, cut out of that part, and all annotations."""
    names = {category["id"]: category["name"] for category in categories}
    for end in _ENDS:
        holders = [a for a in annotations if names[a["category_id"]] in end]
        if not holders:
            continue
        holder = holders[rng.integers(len(holders))]
        (code,) = decode_codes([holder["segmentation"]], *photo.shape[:2])
        mask = code.astype(bool)
        draws = (paste_plate(photo, mask, rng) for _ in range(_TRIES))
        pasted = next(filter(None, draws), None)  # not every plate fits everywhere
        if pasted:
            kind = len(categories) + [*_PLATES].index(end[names[holder["category_id"]]])
            cut = {kind + 1: pasted[1], holder["category_id"]: mask & ~pasted[1]}
            vehicle = holder.get("vehicle_id", 0)
            changed = [
                PartInstance.of_mask("", part, vehicle).to_annotation(category)
                for category, part in cut.items()
            ]
            return pasted[0], [*(a for a in annotations if a is not holder), *changed]
    return None
