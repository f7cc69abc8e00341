"""LabelMe's JSON records: polygons -> part shapes, and polygons -> records."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sav.errors import SAVError
from sav.formats.masks import decode_codes, run_length_code
from sav.formats.polygons import clip_polygon
from sav.ontology import Ontology

MISSPELLINGS = {"Foroud": "Foreground", "Foregroud": "Foreground"}
IGNORED_LABEL = "Others"


@dataclass(frozen=True)
class PartShape:
    """One annotated instance before painting.

    Attributes:
        class_id: 0-based id in the ontology.
        mask: (H, W) uint8, the shape as it was drawn, hidden by nothing.
        group_id: the vehicle as the annotator numbered it, or None.
    """

    class_id: int
    mask: np.ndarray
    group_id: int | None


@dataclass
class ShapeReader:
    """Reads the shapes of one image.

    Attributes:
        ontology: names the labels.
        width: of the image, in pixels.
        height: of the image, in pixels.
        notes: counts what is harmless.
        problems: (record, reason) of each shape that was left out.
    """

    ontology: Ontology
    width: int
    height: int
    notes: Counter[str]
    problems: list[tuple[str, str]]

    def read(self, path: Path) -> list[PartShape]:
        """Read a LabelMe file.

        Shapes with the same label, group_id and description are pieces of one instance, as long as
        neither group_id nor description is empty.

        Raises:
            SAVError: the file as a whole is not usable; the message leaves out its path.
        """
        pieces: dict[Any, list[list[float]]] = {}
        for i, shape in enumerate(self._load(path)):
            label = shape.get("label") if isinstance(shape, dict) else None
            record = f"shape {i} ({label})" if isinstance(label, str) else f"shape {i}"
            try:
                class_id = self._class_id(label)
                if class_id is None:
                    continue
                group_id = _group_id(shape)
                polygon = self._polygon(shape)
            except SAVError as error:
                self.problems.append((record, str(error)))
                continue
            description = str(shape.get("description") or "").strip()
            whole = group_id is not None and description
            key = (class_id, group_id, description if whole else i)
            pieces.setdefault(key, []).append(polygon)
        size = self.height, self.width
        masks = decode_codes([run_length_code(p, *size) for p in pieces.values()], *size)
        return [
            PartShape(class_id, mask, group_id)
            for (class_id, group_id, _), mask in zip(pieces, masks, strict=True)
        ]

    def _load(self, path: Path) -> list[Any]:
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
        if None not in stated and stated != (self.width, self.height):
            raise SAVError(
                f"it was drawn on {stated[0]}x{stated[1]} pixels, but the image is "
                f"{self.width}x{self.height}"
            )
        return contents["shapes"]

    def _class_id(self, label: Any) -> int | None:
        """None where the label is to be ignored."""
        if not isinstance(label, str):
            raise SAVError("it has no label")
        label = label.strip()
        if label in MISSPELLINGS:
            self.notes[f"label '{label}' read as '{MISSPELLINGS[label]}'"] += 1
            label = MISSPELLINGS[label]
        if label == IGNORED_LABEL:
            self.notes[f"label '{label}' ignored"] += 1
            return None
        if label not in self.ontology.class_names:
            raise SAVError(f"label '{label}' is not in the ontology {self.ontology.name}")
        return self.ontology.class_id(label)

    def _polygon(self, shape: dict[str, Any]) -> list[float]:
        """The outline as [x0, y0, x1, y1, ...], clipped to the image."""
        points = _points(shape.get("points"))
        kind = shape.get("shape_type", "polygon")
        if kind == "rectangle" and len(points) == 2:
            (x0, y0), (x1, y1) = points
            points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        elif kind not in ("polygon", "rectangle"):
            raise SAVError(f"shapes of type '{kind}' have no area")
        if len(points) < 3:
            raise SAVError(f"a polygon of {len(points)} points has no area")
        flat = [value for point in points for value in point]
        return clip_polygon(flat, self.width, self.height, self.notes)


def _points(points: Any) -> list[tuple[float, float]]:
    if not isinstance(points, list):
        raise SAVError("it has no list 'points'")
    pairs = []
    for point in points:
        if not isinstance(point, list) or len(point) != 2:
            raise SAVError("a point is not a pair of numbers")
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in point):
            raise SAVError("a point has a coordinate that is not a number")
        pairs.append((float(point[0]), float(point[1])))
    return pairs


def _group_id(shape: dict[str, Any]) -> int | None:
    group_id = shape.get("group_id")
    if group_id is not None and (isinstance(group_id, bool) or not isinstance(group_id, int)):
        raise SAVError(f"group_id {group_id!r} is not a whole number")
    return group_id


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
    shapes = [
        {
            "label": label,
            "points": points.tolist(),
            "group_id": group_id,
            "description": description,
            "shape_type": "polygon",
            "flags": {},
        }
        for label, points, group_id, description in polygons
    ]
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
