"""Regions of Label Studio's annotations and predictions -> shapes."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sav.errors import SAVError
from sav.formats.brush import decode_brush
from sav.formats.geometry import ellipse, number, picture_mask, rectangle
from sav.formats.listing import said_of_shape, shape_of
from sav.formats.masks import encode_mask
from sav.formats.records import Shape, check_size

_DRAWN = ("rle", "imageDataURL", "points", "radiusX", "height")
"""What a region has, by its kind: brush, bitmask, polygon, ellipse, rectangle."""
_SAID = re.compile(r"\b(vehicle|instance)\W{0,3}(\d{1,9})\b", re.IGNORECASE)
"""In the meta text of a region, which people may write, and we do."""
_DEEPEST = 20
"""Regions below each other; so that parents in a circle end, too."""


def region_shapes(
    results: Sequence[Any], score: Any, photo: str, size: tuple[int, int]
) -> Iterator[Shape]:
    """The shapes of an annotation or a prediction.

    Args:
        results: its list "result".
        score: of the prediction, for regions without one of their own; None: an annotation.
        photo: its name, for problems.
        size: of the photo, height and width in pixels.
    """
    regions = _regions(results)
    said = [_said(region) for region in regions]
    vehicles = _vehicles(regions)
    if any("vehicle" in one for one in said):
        vehicles = [None] * len(regions)
    for region, known, vehicle in zip(regions, said, vehicles, strict=True):
        if score is not None:
            known["score"] = region.get("score", score)
        where = f"region {region['id']} of {photo}"
        yield _shape(where, region, {"vehicle": vehicle, **known}, size)


def _regions(results: Sequence[Any]) -> list[dict[str, Any]]:
    """Results of one id are one region: its outline, its label, what else is said of it."""
    regions: dict[Any, dict[str, Any]] = {}
    for i, result in enumerate(results):
        known = result if isinstance(result, dict) else {"value": {"labels": []}}
        value = known.get("value") if isinstance(known.get("value"), dict) else {}
        name = str(known.get("id") or f"number {i}")
        region = regions.setdefault(name, {"value": {}, "said": {}})
        merged, said = {**region["value"], **value}, region["said"]
        chosen = [value[name] for name in ("number", "text", "choices") if name in value]
        if chosen:
            only = chosen[0]
            asked = str(known.get("from_name")).casefold()
            said[asked] = only[0] if isinstance(only, list) and only else only
        region.update(known, id=name, value=merged, said=said)
    # The others are choices and texts about the photo, and relations.
    return [region for region in regions.values() if _is_region(region["value"])]


def _is_region(value: Mapping[str, Any]) -> bool:
    return any(name in _DRAWN or str(name).endswith("labels") for name in value)


def _said(region: Mapping[str, Any]) -> dict[Any, Any]:
    meta = region.get("meta")
    text = meta.get("text") if isinstance(meta, dict) else None
    joined = " ".join(map(str, text)) if isinstance(text, list) else str(text)
    written = {name.casefold(): value for name, value in _SAID.findall(joined)}
    return {**region["said"], **written}


def _vehicles(regions: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """The vehicle of each region: one with others below it is a vehicle; None: not said."""
    parents = {region["id"]: str(region.get("parentID")) for region in regions}
    roots = [_root(name, parents) for name in parents]
    above = {root for root, name in zip(roots, parents, strict=True) if root != name}
    numbers = {root: i for i, root in enumerate(name for name in parents if name in above)}
    return [numbers.get(root) for root in roots]


def _root(name: str, parents: Mapping[str, str]) -> str:
    for _ in range(_DEEPEST):
        if parents[name] not in parents:
            break
        name = parents[name]
    return name


def _shape(
    where: str, region: Mapping[str, Any], said: Mapping[Any, Any], size: tuple[int, int]
) -> Shape:
    value = region["value"]
    labels = [one for name in value if str(name).endswith("labels") for one in _list(value[name])]
    if len(set(map(str, labels))) > 1:
        error = f"it has {len(labels)} labels, {labels[0]} and {labels[1]} among them"
        return Shape(where, None, error=error)
    label = labels[0] if labels else None
    return shape_of(where, label, lambda: _segmentation(region, *size), said_of_shape(said))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _segmentation(region: Mapping[str, Any], height: int, width: int) -> Any:
    value, turn = region["value"], region.get("image_rotation")
    if not any(name in value for name in _DRAWN):
        raise SAVError(f"a region of type {region.get('type')!r} has no area that can be read")
    check_size((region.get("original_width"), region.get("original_height")), width, height)
    if turn:
        raise SAVError(f"it was drawn on a photo turned by {turn} degrees; turn that back")
    if "rle" in value:
        return encode_mask(decode_brush(value["rle"], height, width))
    if "imageDataURL" in value:
        data = base64.b64decode(value["imageDataURL"].partition("base64,")[2])
        return picture_mask(data, height * width)
    x, y = width / 100, height / 100
    if "points" in value:
        points = [(number(px, "x") * x, number(py, "y") * y) for px, py in value["points"]]
        return [side for point in points for side in point]
    left, top = number(value.get("x"), "x") * x, number(value.get("y"), "y") * y
    turn = number(value.get("rotation", 0), "rotation")
    if "radiusX" in value:
        radii = number(value["radiusX"], "radius") * x, number(value.get("radiusY"), "radius") * y
        return ellipse(left, top, *radii, turn)
    right = left + number(value.get("width"), "width") * x
    bottom = top + number(value["height"], "height") * y
    return rectangle(left, top, right, bottom, turn=turn, about=(left, top))
