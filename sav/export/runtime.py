"""Finds the parts of vehicles in photos with an exported model: numpy, Pillow and ONNX Runtime.

This file needs nothing else of SAV, and no torch. ``sav export`` puts a copy beside the model::

    python runtime.py photo.jpg
    parts = PartFinder("exported")(read_photo("photo.jpg"))
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from onnxruntime import InferenceSession, SessionOptions
from PIL import Image, ImageOps

Array = np.ndarray
# As in sav.modeling: postprocess, grouping, context.vehicles, crops and components.
SPECK, GAP, CONFIDENT, SAME, COVERED, SMALLEST, TIE = 0.02, 0.05, 0.3, 0.5, 0.7, 0.1, 1e-3
LIKELY, MARGIN, LEAST, MOST, SEVERAL, GAIN, SURE = 0.1, 0.15, 16, 16, 3, 1.25, 0.95


class Part(NamedTuple):
    """A part of a vehicle: score in [0, 1], box XYXY in pixels, and the mask (h, w) bool in it."""

    name: str
    class_id: int
    score: float
    vehicle: int
    box: tuple[int, int, int, int]
    mask: Array


class PartFinder:
    """The exported model of a folder; ``threads`` are ONNX Runtime's, 0 for one a core."""

    def __init__(self, folder: str | Path, threads: int = 0) -> None:
        self.about = json.loads((Path(folder) / "model.json").read_text("utf-8"))
        if self.about["format"] != 2:
            raise ValueError(f"{folder}: of another version of SAV; export the model again")
        options = SessionOptions()
        options.intra_op_num_threads = threads
        files = [name and Path(folder) / name for name in self.about["graphs"].values()]
        self._decoder, self._context = (f and InferenceSession(f, options) for f in files)
        self._parts = np.array(self.about["query_parts"])

    def __call__(self, photo: Array) -> list[Part]:
        """The parts in a photo (H, W, 3) uint8 RGB, best first."""
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or not photo.size:
            raise ValueError("a photo is an array (H, W, 3) of uint8 in RGB order")
        return self._predict_crops(photo, *self._predict(photo))

    def _predict(self, photo: Array) -> tuple[list[Part], list[Array]]:
        """The parts in a photo, and boxes of what lies apart in it."""
        size, small = self.about["canvas"], letterbox(photo, self.about["canvas"])
        canvas = np.zeros((1, 3, size, size), np.float32)
        normal = (small - np.float32(self.about["mean"])) / np.float32(self.about["std"])
        canvas[0, :, : small.shape[0], : small.shape[1]] = normal.transpose(2, 0, 1)
        names = [one.name for one in self._decoder.get_outputs()]
        seen = dict(zip(names, self._decoder.run(None, {"canvas": canvas}), strict=True))
        if self._context:
            own = self._vehicles(seen["masks"][0], sigmoid(seen["presence"][0]))
            vehicles = {"photo": np.zeros(len(own), np.int64), "own": own}
            seen = dict(zip(names[:3], self._context.run(None, seen | vehicles), strict=True))
        masks, presence, iou = (seen[name][0] for name in names[:3])
        presence, iou = sigmoid(presence), sigmoid(iou)
        cells = masks.shape[1] * np.array(small.shape[:2]) / size
        axes = [tent(*side) for side in zip(photo.shape[:2], masks.shape[1:], cells, strict=True)]
        scores = score(masks, presence, iou, self.about["calibration"])
        boxes = components(masks[scores >= LIKELY] > 0, photo.shape[:2], cells)
        return self._read(masks, presence, iou, scores, axes), boxes

    def _vehicles(self, masks: Array, scores: Array) -> Array:
        """(V, N) bool: the queries that show each vehicle for which the gallery is searched."""
        boxes = mask_boxes(sum(masks[:, y::2, x::2] for y in (0, 1) for x in (0, 1)) > 0)
        shown = np.flatnonzero((scores >= CONFIDENT) & (boxes[:, 2] > boxes[:, 0]))
        found = group(boxes[shown], self._parts[shown], scores[shown], *self.about["part_kinds"])
        hulls = {v: hull(boxes[shown[found == v]]) for v in np.unique(found)}
        largest = max((area(box) for box in hulls.values()), default=0)
        hulls = {v: box for v, box in hulls.items() if area(box) >= SMALLEST * largest}
        if len(hulls) < 2:
            return np.ones((1, len(masks)), bool)
        inside, distance, _ = compare(boxes, np.array([*hulls.values()]))
        number = (inside - 1e-3 * distance).argmax(1)
        for place, vehicle in enumerate(hulls):
            number[shown[found == vehicle]] = place
        return number == np.arange(number.max() + 1)[:, None]

    def _read(
        self, masks: Array, presence: Array, iou: Array, scores: Array, axes: list[Array]
    ) -> list[Part]:
        classes, vehicles = self._parts, None
        if self.about["unions"]:
            masks, presence, iou, classes, vehicles = self._unite(masks, presence, iou, scores)
            scores = score(masks, presence, iou, self.about["calibration"])
        queries = [q for q in best_first(scores) if scores[q] >= self.about["score_threshold"]]
        found = [(q, *piece) for q in queries if (piece := enlarge(masks[q], *axes))]
        q, boxes = [q for q, *_ in found], np.array([box for _, box, _ in found])
        if vehicles is None:
            vehicles = group(boxes, classes[q], scores[q], *self.about["class_kinds"])
        else:
            vehicles = np.unique(vehicles[q], return_inverse=True)[1]
        columns = (classes[q].tolist(), scores[q].tolist(), vehicles.tolist(), found)
        return [
            Part(self.about["classes"][class_id], class_id, score, vehicle, box, mask)
            for class_id, score, vehicle, (_, box, mask) in zip(*columns, strict=True)
        ]

    def _unite(self, masks: Array, presence: Array, iou: Array, scores: Array) -> list[Array]:
        """The classes of a view: unions of the parts of one vehicle, as sav.modeling.views says."""
        boxes = mask_boxes(masks > 0)
        shown = (scores >= self.about["score_threshold"]) & (boxes[:, 2] > boxes[:, 0])
        seen = [q for q in best_first(scores) if shown[q]]
        found = group(boxes[seen], self._parts[seen], scores[seen], *self.about["part_kinds"])
        times, groups = Counter(), defaultdict(dict)  # the first of each part, the second ...
        for query, part, vehicle in zip(seen, self._parts[seen].tolist(), found, strict=True):
            groups[vehicle, times[vehicle, part]][part] = query
            times[vehicle, part] += 1
        united = []
        for class_id, (parts, attached, each) in enumerate(self.about["unions"]):
            for some in [[part] for part in parts] if each else [parts]:
                for number, ((vehicle, _), queries) in enumerate(groups.items()):
                    if own := [queries[part] for part in some if part in queries]:
                        q = own + [queries[part] for part in attached if part in queries]
                        union = join(masks[q], presence[q], iou[q], len(own))
                        united.append((*union, class_id, vehicle, number))
        if not united:
            return [masks[:0], presence[:0], iou[:0], self._parts[:0], self._parts[:0]]
        masks, presence, iou, classes, vehicles, number = map(np.array, zip(*united, strict=True))
        # Where a narrower class of the view says it better, a wider one is not there.
        narrower = np.array(self.about["narrower"], bool)
        rivals = narrower[classes[:, None], classes] & (number[:, None] == number)
        presence = np.maximum(presence - np.where(rivals, presence, 0).max(1), 0)
        return [masks, presence, iou, classes, vehicles]

    def _predict_crops(self, photo: Array, parts: list[Part], boxes: list[Array]) -> list[Part]:
        """Predict small vehicles again, each cut out and enlarged, as sav.modeling.crops does."""
        if not self.about["crops"]:
            return parts
        parts, done = self._predict_components(photo, parts, boxes)
        hulls = likely_hulls(parts)
        below = self.about["crops"] * max(photo.shape[:2])
        small = {v: box for v, box in hulls.items() if v not in done and long_side(box) < below}
        closer = self._predict_each(photo, small)
        others = [part for part in parts if part.vehicle not in closer]
        return sorted(sum(closer.values(), others), key=lambda part: -part.score)

    def _predict_components(self, photo: Array, parts: list[Part], boxes: list[Array]) -> tuple:
        """Predict vehicles that share masks one by one, if that shows more; parts, and new ids."""
        several, boxes = shared_vehicles(likely_hulls(parts), boxes)
        if not several:
            return parts, []
        last = max(part.vehicle for part in parts)
        ids = [several[0], *range(last + 1, last + len(boxes))]
        closer = self._predict_each(photo, dict(zip(ids, boxes, strict=False)))
        found = [part for own in closer.values() for part in own]
        own = [part for part in parts if part.vehicle in several]
        scores = [[p.score for p in some if p.score >= CONFIDENT] for some in (own, found)]
        (before, number), (now, count) = ((sum(some), len(some)) for some in scores)
        if not count or now < GAIN * before or now * number < SURE * before * count:
            return parts, []
        return [part for part in parts if part.vehicle not in several] + found, [*closer]

    def _predict_each(self, photo: Array, boxes: dict[int, Array]) -> dict[int, list[Part]]:
        """The parts that crops of some vehicles show of them."""
        closer, order = {}, sorted(boxes, key=lambda v: -long_side(boxes[v]))
        for vehicle in [v for v in order if long_side(boxes[v]) >= LEAST][:MOST]:
            margin = round(MARGIN * long_side(boxes[vehicle])) * np.array([-1, -1, 1, 1])
            box = np.clip(boxes[vehicle] + margin, 0, [*photo.shape[1::-1]] * 2)
            found, _ = self._predict(photo[box[1] : box[3], box[0] : box[2]])
            corner, place = np.tile(box[:2], 2), boxes[vehicle] - np.tile(box[:2], 2)
            # Something is likely to be there: that nothing is sure does not mean nothing is right.
            sure = min(CONFIDENT, max((part.score for part in found), default=0) / 2)
            alike = {v: overlap(h[None], place[None]) for v, h in hulls_of(found, sure).items()}
            best = max(alike, key=alike.get, default=None)
            if alike.get(best, 0) >= SAME:
                own = [part._replace(vehicle=vehicle) for part in found if part.vehicle == best]
                closer[vehicle] = [p._replace(box=tuple((corner + p.box).tolist())) for p in own]
        return closer


def read_photo(path: str | Path) -> Array:
    """Read a photo of 8 bits, upright and on white: (H, W, 3) uint8 RGB."""
    # In memory: of a file, a broken PNG may ask for gigabytes.
    with Image.open(BytesIO(Path(path).read_bytes())) as image:
        image = ImageOps.exif_transpose(image)  # noqa: PLW2901
    if image.mode == "F" or image.mode.startswith("I"):
        raise ValueError(f"{path}: more than 8 bits a colour; save it with 8")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def letterbox(photo: Array, size: int) -> Array:
    """Resize the longer side to the canvas as OpenCV does: by area, or bilinear to enlarge."""
    old, values = photo.shape[:2], photo
    new = [max(1, round(side * (size / max(old)))) for side in old]
    if size >= max(old):
        upper, lower = _weigh(np.add(*_weigh(photo.astype(int), new[1], 1)) >> 4, new[0], 0)
        return np.float32(((upper >> 16) + (lower >> 16) + 2) >> 2)
    whole = not any(side % short for side, short in zip(old, new, strict=True))
    for axis in (1, 0):
        values = _average(values, new[axis], axis, whole)
    if whole:
        values = values * np.float32(1 / (old[0] // new[0] * (old[1] // new[1])))
    return np.floor(values + 0.5) if [2 * side for side in new] == [*old] else np.rint(values)


def _weigh(values: Array, count: int, axis: int) -> list[Array]:
    """The two neighbours along an axis, each times its weight: whole numbers, 2048 together."""
    place = (np.arange(count) + 0.5) * (values.shape[axis] / count) - 0.5
    share = np.rint(2048 * (np.float32(place) - np.floor(place))).astype(int)
    pairs = enumerate(np.expand_dims([2048 - share, share], (2 - axis, 3)))
    return [np.take(values, np.int64(np.floor(place)) + n, axis, mode="clip") * w for n, w in pairs]


def _average(values: Array, count: int, axis: int, whole: bool) -> Array:
    """Means, or sums where all cells are ``whole``, over equal shares of an axis."""
    scale, total = values.shape[axis] / count, np.float32(0)
    start = np.arange(count) * scale
    for step in range(int(np.ceil(scale)) + 1):
        cell = np.floor(start + 1e-3).astype(int) + step
        share = np.minimum(start + scale, cell + 1) - np.maximum(start, cell)
        weight = np.where(share > 1e-3, share if not whole else 1, 0) / (1 if whole else scale)
        weight = np.expand_dims(np.float32(weight), (1 - axis, 2))
        total = total + weight * np.take(values, cell, axis, mode="clip")
    return total


def tent(pixels: int, cells: int, seen: float) -> Array:
    """(pixels, cells) float32: what cells weigh in pixels that lie over the first ``seen``."""
    cells = min(cells, int(np.ceil(seen)) + 1)
    place = np.clip((np.arange(pixels) + 0.5) * (seen / pixels) - 0.5, 0, cells - 1)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(cells)), 0).astype(np.float32)


def enlarge(logits: Array, rows: Array, columns: Array) -> tuple | None:
    """A mask at the photo's size, without specks, as its box and what is in it; or None."""
    logits = logits[: rows.shape[1], : columns.shape[1]]
    left, top, right, bottom = mask_boxes(logits[None] > 0)[0]
    down = np.flatnonzero(rows[:, top:bottom].any(1))
    along = np.flatnonzero(columns[:, left:right].any(1))
    high, wide = slice(max(top - 2, 0), bottom + 2), slice(max(left - 2, 0), right + 2)
    mask = rows[down, high] @ logits[high, wide] @ columns[along, wide].T > 0
    if not mask.any():
        return None
    mask = drop_specks(mask)
    left, top, right, bottom = mask_boxes(mask[None])[0].tolist()
    box = (left + along[0], top + down[0], right + along[0], bottom + down[0])
    return tuple(map(int, box)), mask[top:bottom, left:right]


def pieces(mask: Array) -> tuple[Array, ...]:
    """The 8-connected piece of each run of pixels in a row, with its row, start and end."""
    width = mask.shape[1] + 2  # so that the end of a row does not touch the start of the next
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).view(np.int8), axis=1)
    (row, start), end = (edges == 1).nonzero(), (edges == -1).nonzero()[1]
    first = np.searchsorted(row * width + end, (row + 1) * width + start)  # that touch it below
    last = np.searchsorted(row * width + start, (row + 1) * width + end, side="right")
    count = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(row)), count)
    lower = np.arange(len(upper)) - np.repeat(count.cumsum() - count - first, count)
    piece, before = np.arange(len(row)), None
    while not np.array_equal(piece, before):
        before, low = piece.copy(), np.minimum(piece[upper], piece[lower])
        for runs in (piece[upper], piece[lower], upper, lower):
            np.minimum.at(piece, runs, low)
        piece = piece[piece]
    return piece, row, start, end


def drop_specks(mask: Array) -> Array:
    """Without pieces that are small beside the largest."""
    piece, row, start, end = pieces(mask)
    pixels, mask = np.bincount(piece, end - start), mask.copy()
    for run in np.flatnonzero((pixels < SPECK * pixels.max())[piece]):
        mask[row[run], start[run] : end[run]] = False
    return mask


def components(masks: Array, size: tuple[int, int], seen: Array) -> list[Array]:
    """Boxes in a photo of what masks cover together, the largest first, where it is in pieces."""
    shown = masks[:, : int(np.ceil(seen[0])), : int(np.ceil(seen[1]))]
    union, labels = shown.any(0), np.zeros(shown.shape[1:], int)
    wide = np.lib.stride_tricks.sliding_window_view(np.pad(union, 1), (3, 3)).any((2, 3))
    for number, row, start, end in zip(*(found := pieces(wide)), strict=True):
        labels[row, start:end] = number + 1
    places = [labels == number + 1 for number in np.unique(found[0])]
    if len(places) < 2:
        return []
    cells = np.array([(shown & place).sum((1, 2)) for place in places])
    sizes, kinds = cells.sum(1), (cells > SPECK * cells.max(0).clip(1)).sum(1)
    large = (kinds >= SEVERAL) & (sizes >= SPECK * sizes.max())
    chosen = np.flatnonzero(large) if large.sum() > 1 else []
    boxes = np.reshape([mask_boxes((union & places[n])[None])[0] for n in chosen], (-1, 4))
    scale = np.tile((np.array(size) / seen)[::-1], 2)
    low, high = np.floor(boxes * scale).astype(int), np.ceil(boxes * scale).astype(int)
    low[:, 2:] = np.minimum(high[:, 2:], size[::-1])
    order = sorted(range(len(chosen)), key=lambda n: (-sizes[chosen[n]], *low[n]))
    return [low[n] for n in order]


def shared_vehicles(hulls: dict[int, Array], boxes: list[Array]) -> tuple[list[int], list[Array]]:
    """The vehicles that cover several components, and those that are not all of another one."""
    held = {v: [n for n, b in enumerate(boxes) if shared(b, h) >= SAME] for v, h in hulls.items()}
    several = [v for v, own in held.items() if len(own) > 1]
    homes = {n for own in held.values() if len(own) == 1 for n in own}
    free = {n for v in several for n in held[v]} - homes
    return several, [boxes[n] for n in sorted(free)]


def sigmoid(logits: Array) -> Array:
    """In double precision, without overflow."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))


def join(masks: Array, presence: Array, iou: Array, counting: int) -> tuple:
    """Mask logits, presence and IoU of a union; behind the first ``counting`` are attached ones."""
    weight = np.minimum(presence / presence[:counting].max(), 1)[:, None, None]
    shown, hidden = sigmoid(masks), sigmoid(-masks)
    rare = -np.log1p(-weight * np.minimum(shown, 0.5))  # each exact where the other one rounds
    total = np.where(masks > 0, -np.log(hidden + (1 - weight) * shown), rare).sum(0).clip(1e-30)
    there = 1 - np.prod(1 - presence[:counting])
    area = weight[:, 0, 0] * shown.mean((1, 2)).clip(1e-6)
    return total + np.log(-np.expm1(-total)), there, (area * iou).sum() / area.sum()


def score(masks: Array, presence: Array, iou: Array, line: tuple[float, float]) -> Array:
    """(N,) probabilities of being right, as sav.modeling.reader says, of mask logits (N, h, w)."""
    both = ((likely := sigmoid(masks)) * (masks > 0)).sum((1, 2))
    union = ((masks > 0) + likely).sum((1, 2)) - both
    scores = np.clip(presence * iou * both / union, 1e-6, 1 - 1e-6)
    return sigmoid(line[0] * np.log(scores / (1 - scores)) + line[1])


def best_first(scores: Array) -> list[int]:
    """Places in the order of their scores."""
    return np.argsort(-scores, kind="stable").tolist()


def mask_boxes(masks: Array) -> Array:
    """Tight XYXY boxes (N, 4) int of masks (N, H, W) bool; zeros for empty ones."""
    columns, rows = masks.any(1), masks.any(2)
    low = [columns.argmax(1), rows.argmax(1)]
    high = [line.shape[1] - line[:, ::-1].argmax(1) for line in (columns, rows)]
    return np.stack([*low, *high], axis=1) * columns.any(1, keepdims=True)


def hull(boxes: Array) -> Array:
    """(4,) the least box around boxes (N, 4)."""
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def hulls_of(parts: list[Part], least: float) -> dict[int, Array]:
    """The box around the parts of each vehicle that score so much."""
    sure = [part for part in parts if part.score >= least]
    ids = sorted({part.vehicle for part in sure})
    return {v: hull(np.array([part.box for part in sure if part.vehicle == v])) for v in ids}


def likely_hulls(parts: list[Part]) -> dict[int, Array]:
    """The box of each vehicle that is at least likely to be there."""
    return {**hulls_of(parts, LIKELY), **hulls_of(parts, CONFIDENT)}


def long_side(box: Array) -> int:
    """Of a box (4,)."""
    return max(box[2] - box[0], box[3] - box[1])


def area(boxes: Array) -> Array:
    """Of boxes (..., 4)."""
    return np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


def overlap(first: Array, second: Array) -> Array:
    """(N, M) IoU of boxes."""
    inside = compare(first, second)[0]
    return inside / (area(first)[:, None] + area(second) - inside)


def shared(first: Array, second: Array) -> float:
    """The intersection of two boxes (4,) over the smaller one."""
    return compare(first[None], second[None])[0].item() / min(area(first), area(second))


def compare(first: Array, second: Array) -> tuple[Array, ...]:
    """Of boxes (N, 4) and (M, 4): areas shared, between centres, between edges; each (N, M)."""
    low = np.maximum(first[:, None, :2], second[:, :2])
    high = np.minimum(first[:, None, 2:], second[:, 2:])
    sums = (first[:, :2] + first[:, 2:])[:, None] - (second[:, :2] + second[:, 2:])
    edges = np.linalg.norm((low - high).clip(0), axis=2)
    return np.prod((high - low).clip(0), axis=2), np.linalg.norm(sums / 2, axis=2), edges


def keep_best(scores: Array, covered: Array, most: float) -> list[int]:
    """Places, best first, that no better one of those kept covers by more than so much."""
    kept: list[int] = []
    for place in best_first(scores):
        if covered[place, kept].max(initial=0) <= most:
            kept.append(place)
    return kept


def group(boxes: Array, classes: Array, scores: Array, bodies: list[int], once: list[int]) -> Array:
    """The vehicle of each part, by bodies, or else by touch; as sav.modeling.grouping does."""
    if not len(boxes):
        return np.zeros(0, int)
    boxes, body = boxes.astype(float), np.flatnonzero(np.isin(classes, bodies))
    if not len(body):
        return _by_touch(boxes, classes, scores, once)
    covered = compare(boxes[body], boxes[body])[0] / area(boxes[body])[:, None]
    body = body[keep_best(scores[body], covered, COVERED)]
    inside, distance, _ = compare(boxes, boxes[body])
    return (inside / area(boxes)[:, None] - 1e-3 * distance / max(distance.max(), 1e-6)).argmax(1)


def _by_touch(boxes: Array, classes: Array, scores: Array, once: list[int]) -> Array:
    grown = boxes + GAP * (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) * [-1, -1, 1, 1]
    touching, wider = None, compare(grown, grown)[0] > 0
    while not np.array_equal(touching, wider):
        touching, wider = wider, wider @ wider
    sure = np.isin(classes, once) & (scores >= CONFIDENT)
    vehicles, groups = np.zeros(len(boxes), int), touching.argmax(1)
    for rows in [np.flatnonzero(groups == number) for number in np.unique(groups)]:
        seeds = [rows[0]]
        for part in np.unique(classes[rows[sure[rows]]]):
            own = rows[sure[rows] & (classes[rows] == part)]
            own = own[keep_best(scores[own], overlap(boxes[own], boxes[own]), SAME)]
            seeds = max(seeds, own.tolist(), key=lambda some: (len(some), scores[some].sum()))
        vehicles[rows] = rows[0] * len(boxes) + _share_out(boxes, classes, scores, rows, seeds)
    first, numbers = np.unique(vehicles, return_index=True, return_inverse=True)[1:]
    return first.argsort().argsort()[numbers]


def _share_out(boxes: Array, classes: Array, scores: Array, rows: Array, seeds: list) -> Array:
    """Larger parts choose first, those of a class together, among the vehicles of the seeds."""
    members, number = [[seed] for seed in seeds], {seed: n for n, seed in enumerate(seeds)}
    waiting = defaultdict(list)
    for row in sorted((r for r in rows if r not in number), key=lambda r: -area(boxes[r])):
        waiting[classes[row]].append(row)
    for own in waiting.values():
        _, centres, edges = compare(boxes[own], boxes)
        cost = np.stack([(edges + 0.1 * centres)[:, some].min(1) for some in members], axis=1)
        cost = (cost + TIE * np.arange(len(seeds))) * (1 + TIE * scores[own, None])
        for row, vehicle in zip(own, _assign(cost), strict=True):
            number[row] = vehicle
            members[vehicle].append(row)
    return np.array([number[row] for row in rows])


def _assign(cost: Array) -> Array:
    """The column of each row: as many different ones as there can be, at the least cost."""
    chosen, narrow = cost.argmin(1), len(cost) > cost.shape[1]
    best = {0: (0.0, ())}  # by the columns taken, as bits
    for prices in cost.T if narrow else cost:
        step = {}
        for taken, (total, columns) in best.items():
            for column in (c for c in range(len(prices)) if not taken >> c & 1):
                key, new = taken | 1 << column, (total + prices[column], (*columns, column))
                step[key] = min(step.get(key, (np.inf,)), new)
        best = step
    found = np.array(min(best.values())[1], int)
    chosen[found if narrow else slice(None)] = np.arange(len(found)) if narrow else found
    return chosen


def main(paths: list[str]) -> None:
    """Print the parts in photos as JSON, one line a photo; of masks the number of pixels."""
    path = str(Path(__file__).parent)
    try:
        finder = PartFinder(path)
        for path in paths:
            parts = [p._asdict() | {"mask": int(p.mask.sum())} for p in finder(read_photo(path))]
            sys.stdout.write(json.dumps({"file": path, "parts": parts}) + "\n")
    except (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError) as error:
        sys.exit(f"{path}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
