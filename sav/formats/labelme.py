"""LabelMe's JSON records: polygons -> part instances, and polygons -> records."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sav.errors import SAVError
from sav.formats.masks import clip_polygon, decode_codes, run_length_code
from sav.formats.records import PartInstance, RecordResult
from sav.ontology import Ontology

MISSPELLINGS = {"Foroud": "Foreground", "Foregroud": "Foreground"}
IGNORED_LABEL = "Others"


def read_labelme(
    root: Path, file: Path, size: tuple[int, int], ontology: Ontology, result: RecordResult
) -> list[PartInstance]:
    """Read the shapes of one image as they were drawn, hidden by nothing.

    Shapes with the same label, group_id and description are pieces of one instance, as long as
    neither group_id nor description is empty.

    Args:
        root: folder of the data set.
        file: the record, relative to it.
        size: height, width of the image in pixels.
        ontology: names the labels.
        result: receives notes on what is harmless, and the shapes that are left out.

    Returns:
        Instances whose vehicle_id is the annotator's group_id, None where there is none.

    Raises:
        SAVError: the file as a whole is not usable; the message leaves out its path.
    """
    pieces: dict[Any, list[list[float]]] = {}
    for i, shape in enumerate(_load(root / file, *size)):
        label = shape.get("label") if isinstance(shape, dict) else None
        try:
            class_id = _class_id(label, ontology, result.notes)
            if class_id is None:
                continue
            group_id = shape.get("group_id")
            if group_id is not None and type(group_id) is not int:
                raise SAVError(f"group_id {group_id!r} is not a whole number")
            polygon = _polygon(shape, *size, result.notes)
        except SAVError as error:
            name = f" ({label})" if isinstance(label, str) else ""
            result.skip(file, error, f"shape {i}{name}")
            continue
        description = str(shape.get("description") or "").strip()
        whole = group_id is not None and description
        pieces.setdefault((class_id, group_id, description if whole else i), []).append(polygon)
    masks = decode_codes([run_length_code(p, *size) for p in pieces.values()], *size)
    return [
        PartInstance(class_id, mask, group_id)
        for (class_id, group_id, _), mask in zip(pieces, masks, strict=True)
    ]


def _load(path: Path, height: int, width: int) -> list[Any]:
    try:
        contents = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SAVError(f"not valid JSON: {error}") from error
    except OSError as error:
        raise SAVError(f"it cannot be read: {error}") from error
    if not isinstance(contents, dict) or not isinstance(contents.get("shapes"), list):
        raise SAVError("not a LabelMe file: it has no list 'shapes'")
    # LabelMe applies the EXIF rotation before it takes the size, as we do.
    stated = contents.get("imageWidth"), contents.get("imageHeight")
    if None not in stated and stated != (width, height):
        raise SAVError(
            f"it was drawn on {stated[0]}x{stated[1]} pixels, but the image is {width}x{height}"
        )
    return contents["shapes"]


def _class_id(label: Any, ontology: Ontology, notes: Counter[str]) -> int | None:
    """None where the label is to be ignored."""
    if not isinstance(label, str):
        raise SAVError("it has no label")
    label = label.strip()
    if label in MISSPELLINGS:
        notes[f"label '{label}' read as '{MISSPELLINGS[label]}'"] += 1
        label = MISSPELLINGS[label]
    if label == IGNORED_LABEL:
        notes[f"label '{label}' ignored"] += 1
        return None
    if label not in ontology.class_names:
        raise SAVError(f"label '{label}' is not in the ontology {ontology.name}")
    return ontology.class_id(label)


def _polygon(shape: dict[str, Any], height: int, width: int, notes: Counter[str]) -> list[float]:
    """The outline as [x0, y0, x1, y1, ...], clipped to the image."""
    points, kind = shape.get("points"), shape.get("shape_type", "polygon")
    if not isinstance(points, list):
        raise SAVError("it has no list 'points'")
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise SAVError("a point is not a pair of numbers")
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    elif kind not in ("polygon", "rectangle"):
        raise SAVError(f"shapes of type '{kind}' have no area")
    if len(points) < 3:
        raise SAVError(f"a polygon of {len(points)} points has no area")
    flat = [value for point in points for value in point]
    return clip_polygon(flat, width, height, notes, what="point")


def labelme_record(
    polygons: Iterable[tuple[str, np.ndarray, int, str]], image_path: str, height: int, width: int
) -> dict[str, Any]:
    """A record that LabelMe opens.

    Args:
        polygons: label, (N, 2) float x, y in pixels, group_id and description of each, in the order
            in which they are painted over each other.
        image_path: of the image, relative to the record's folder.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [
            {
                "label": label,
                "points": points.tolist(),
                "group_id": group_id,
                "description": description,
                "shape_type": "polygon",
                "flags": {},
            }
            for label, points, group_id, description in polygons
        ],
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
