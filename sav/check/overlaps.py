"""Masks of one photo that share too many of their pixels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
from pycocotools import mask as coco_mask

from sav.check.finding import Finding
from sav.check.photos import Part, Photo
from sav.ontology import Ontology

_SAME = 0.8
"""IoU of two masks of one thing."""
_COVERED = 0.5
"""Share of the smaller of two masks that the other one covers, where they should lie side by side.
Outlines that are drawn twice overlap by less."""
_HABIT = 0.1
"""Share of the vehicles with two classes in which they overlap, from which that is no slip."""
_FEWEST = 5  # such vehicles

Allowed = np.ndarray
"""(C, C) bool: whether masks of two classes may overlap."""


def may_overlap(ontology: Ontology) -> Allowed:
    """Which classes may overlap: a whole and its parts, what is inside, what shares parts.

    Returns:
        (C, C) bool, symmetric.
    """
    names = ontology.class_names
    allowed = np.zeros((len(names), len(names)), dtype=bool)
    for fact in ontology.relations:
        if fact.predicate in ("part_of", "inside") and {fact.subject, fact.object} <= {*names}:
            allowed[names.index(fact.subject), names.index(fact.object)] = True
    reach = [{*union.parts, *union.attached} for union in ontology.unions]
    for a, first in enumerate(reach):
        for b, second in enumerate(reach):
            # Two classes that share a part other than what hangs on both overlap by definition.
            allowed[a, b] |= bool(first & second - {*ontology.unions[a].attached})
    return allowed | allowed.T


def check_overlaps(photo: Photo, ontology: Ontology, allowed: Allowed) -> Iterator[Finding]:
    """Look at each pair of masks; those that are copies of an earlier one are reported once."""
    parts = [part for part in photo.parts if part.area]
    copies: set[int] = set()
    for i, first in enumerate(parts):
        if i in copies:
            continue
        for j, second in enumerate(parts[i + 1 :], start=i + 1):
            low = np.maximum(first.box[:2], second.box[:2])
            high = np.minimum(first.box[2:], second.box[2:])
            if j in copies or not (low < high).all():
                continue
            for finding in _check_pair(photo, first, second, ontology, allowed):
                copies.update([j] if finding.kind == "twice" else [])
                yield finding


def _check_pair(
    photo: Photo, first: Part, second: Part, ontology: Ontology, allowed: Allowed
) -> Iterator[Finding]:
    shared = int(coco_mask.area(coco_mask.merge([first.code, second.code], intersect=True)))
    iou = shared / (first.area + second.area - shared)
    cover = shared / min(first.area, second.area)
    names = tuple(ontology.class_names[part.class_id] for part in (first, second))
    here = {
        "photo": photo,
        "classes": names,
        "parts": (first.id, second.id),
        "marks": (first.mark, second.mark),
    }
    if iou >= _SAME:
        text = f"{names[0]} and {names[1]} are the same mask (IoU {iou:.2f})"
        yield Finding("twice", iou, text=text, **here)
    elif first.class_id == second.class_id and cover >= _SAME:
        text = f"{names[0]}: one mask lies within another one of its class"
        yield Finding("twice", 0.8 * cover, text=text, **here)
    elif not allowed[first.class_id, second.class_id] and cover >= _COVERED:
        inner, outer = names if first.area <= second.area else names[::-1]
        text = f"{cover:.0%} of {inner} are {outer}, too"
        yield Finding("overlap", cover, text=text, **here)


def split_habits(
    findings: Iterable[Finding], ontology: Ontology, together: np.ndarray
) -> tuple[list[Finding], list[str]]:
    """Tell slips from habits: an annotator who draws doors under their mirrors does so always.

    Args:
        findings: all "overlap" findings, of :func:`check_overlaps`.
        ontology: C classes.
        together: (C, C) vehicles that show two classes, see :class:`sav.ontology.priors.Priors`.

    Returns:
        the slips, and a line for each habit.
    """
    mirror = ontology.mirror_ids
    groups = defaultdict(list)
    for finding in findings:
        pair = [ontology.class_id(name) for name in finding.classes]
        # Left and right are one habit.
        groups[min(tuple(sorted(pair)), tuple(sorted(mirror[i] for i in pair)))].append(finding)
    slips, habits = [], []
    for (first, second), own in groups.items():
        number = together[first, second] + (
            together[mirror[first], mirror[second]]
            if (mirror[first], mirror[second]) != (first, second)
            else 0
        )
        if len(own) >= max(_FEWEST, _HABIT * number):
            names = Counter(" and ".join(finding.classes) for finding in own)
            habits.append(
                f"{names.most_common(1)[0][0]}, or their mirror images, overlap in {len(own)} of "
                f"about {number:.0f} vehicles: a habit, not reported"
            )
        else:
            slips += own
    return slips, sorted(habits)
