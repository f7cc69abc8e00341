"""Which parts of a photo belong to one vehicle."""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components
from torchvision.ops import nms

from sav.ontology import Ontology

_VEHICLE_GAP = 0.05
_CONFIDENT = 0.3
_SAME = 0.5  # IoU of two boxes of one part
# Of what is added to distances that are equal, as those of two queries that show one part are: the
# surer part goes to the nearer vehicle, or, if all are as near, to the one with the surer seed.
_TIE = 1e-3


class VehicleKinds(NamedTuple):
    """What classes of parts say about vehicles.

    Attributes:
        bodies: each part of them is a vehicle, see Ontology.body_ids.
        once: a vehicle has one part of each, see Ontology.once_ids.
    """

    bodies: tuple[int, ...] = ()
    once: tuple[int, ...] = ()

    @classmethod
    def of(cls, ontology: Ontology) -> VehicleKinds:
        """Those of a vocabulary."""
        return cls(ontology.body_ids, ontology.once_ids)


def group_into_vehicles(
    boxes: torch.Tensor,
    classes: torch.Tensor,
    scores: torch.Tensor,
    kinds: VehicleKinds,
) -> torch.Tensor:
    """Which vehicle each part belongs to.

    Where the vocabulary has a body class, each body that no better body covers is a vehicle, and a
    part joins the body that holds most of its box. Otherwise parts whose boxes touch, or nearly
    do, are one vehicle; or several, where it would have a part twice that a vehicle has once.

    It computes on the CPU in double precision: boxes have whole pixels, so sums of distances are
    often equal but for rounding, and all implementations and devices must choose alike.

    Args:
        boxes: (N, 4) XYXY.
        classes: (N,) int64.
        scores: (N,) in [0, 1].
        kinds: what their classes say about vehicles.

    Returns:
        (N,) int64 vehicle ids, counted from 0, the vehicle of the best part or body first.
    """
    if len(boxes) == 0:
        return classes.new_zeros(0)
    device = classes.device
    boxes, classes, scores = boxes.cpu().double(), classes.cpu(), scores.cpu().double()
    is_body = torch.isin(classes, classes.new_tensor(kinds.bodies))
    bodies = _main_bodies(boxes, scores, is_body.nonzero()[:, 0])
    if len(bodies) == 0:
        return _in_order(_by_touch(boxes, classes, scores, kinds.once)).to(device)
    inside = intersection(boxes, boxes[bodies]) / _area(boxes)[:, None].clamp(min=1e-6)
    # Among bodies that hold a part equally, the nearest.
    distance = centre_distance(boxes, boxes[bodies])
    return (inside - 1e-3 * distance / distance.max().clamp(min=1e-6)).argmax(1).to(device)


def _main_bodies(boxes: torch.Tensor, scores: torch.Tensor, bodies: torch.Tensor) -> torch.Tensor:
    """Indices of bodies, best first, without those that lie mostly within a better one."""
    kept: list[int] = []
    for index in bodies[scores[bodies].argsort(descending=True, stable=True)].tolist():
        box = boxes[index : index + 1]
        if kept and (intersection(box, boxes[kept]) / _area(box).clamp(min=1e-6)).max() > 0.7:
            continue
        kept.append(index)
    return bodies.new_tensor(kept)


def _by_touch(
    boxes: torch.Tensor, classes: torch.Tensor, scores: torch.Tensor, once_ids: tuple[int, ...]
) -> torch.Tensor:
    """Parts that touch are one vehicle, or as many as show a part that a vehicle has once."""
    groups = _touching(boxes)
    once = torch.isin(classes, classes.new_tensor(once_ids)) & (scores >= _CONFIDENT)
    vehicles = torch.zeros_like(groups)
    count = 0
    for group in groups.unique().tolist():
        rows = (groups == group).nonzero()[:, 0]
        sure = rows[once[rows]]
        repeated = {c: sure[classes[sure] == c] for c in classes[sure].unique().tolist()}
        repeated = {c: own[_distinct(boxes[own], scores[own])] for c, own in repeated.items()}
        # Of equally many the surest: the order of the classes would favour a side.
        seeds = max(
            repeated.values(), key=lambda own: (len(own), scores[own].sum()), default=rows[:1]
        )
        if len(seeds) < 2:
            vehicles[rows] = count
        else:
            vehicles[rows] = count + _share_out(boxes, classes, scores, rows, seeds)
        count += max(1, len(seeds))
    return vehicles


def _in_order(vehicles: torch.Tensor) -> torch.Tensor:
    """Numbers (N,) of vehicles, counted in the order in which they first come."""
    order = {number: place for place, number in enumerate(dict.fromkeys(vehicles.tolist()))}
    return vehicles.new_tensor([order[number] for number in vehicles.tolist()])


def _distinct(boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Indices of boxes, best first, without those that repeat a better one."""
    return nms(boxes, scores, _SAME)


def _share_out(
    boxes: torch.Tensor,
    classes: torch.Tensor,
    scores: torch.Tensor,
    rows: torch.Tensor,
    seeds: torch.Tensor,
) -> torch.Tensor:
    """Numbers (R,) of the vehicles that parts belong to, where each of the seeds is in another.

    Larger parts choose first, those of a class together: each goes to another vehicle while there
    is one, and to one whose parts are near. Of two at one place the surer goes to the nearer.
    """
    order = torch.arange(len(seeds))
    members = [[seed] for seed in seeds.tolist()]
    number = {seed: i for i, (seed,) in enumerate(members)}
    area = _area(boxes)
    others = [row for row in rows.tolist() if row not in number]
    waiting: dict[int, list[int]] = {}
    for row in sorted(others, key=lambda row: -area[row].item()):
        waiting.setdefault(int(classes[row]), []).append(row)
    for own in waiting.values():
        cost = torch.stack(
            [_apart(boxes[own], boxes[vehicle]).amin(1) for vehicle in members], dim=1
        )
        cost = (cost + _TIE * order) * (1 + _TIE * scores[own, None])
        chosen = cost.argmin(1)
        first, vehicle = linear_sum_assignment(cost.numpy())
        chosen[first] = torch.as_tensor(vehicle)
        for row, vehicle in zip(own, chosen.tolist(), strict=True):
            number[row] = vehicle
            members[vehicle].append(row)
    return classes.new_tensor([number[row] for row in rows.tolist()])


def _apart(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(N, M) pixels between boxes; between their centres, at a tenth, where they overlap."""
    gap = torch.maximum(
        first[:, None, :2] - second[None, :, 2:], second[None, :, :2] - first[:, None, 2:]
    )
    return gap.clamp(min=0).norm(dim=2) + 0.1 * centre_distance(first, second)


def _touching(boxes: torch.Tensor) -> torch.Tensor:
    """Connected components of boxes, each enlarged a little."""
    margin = _VEHICLE_GAP * (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True)
    grown = torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], dim=1)
    _, labels = connected_components((intersection(grown, grown) > 0).numpy(), directed=False)
    return torch.from_numpy(labels).long()


def _area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)


def centre_distance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(N, M) between the centres of boxes (N, 4) and (M, 4)."""
    first, second = ((x[:, :2] + x[:, 2:]) / 2 for x in (first, second))
    return (first[:, None] - second).norm(dim=2)  # cdist rounds where there are many


def intersection(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Areas (N, M) shared by boxes (N, 4) and (M, 4)."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    return (high - low).clamp(min=0).prod(2)
