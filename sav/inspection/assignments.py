"""The files of assigned findings: JSON, COCO and the data of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sav.formats.folders import portable
from sav.formats.masks import mask_box
from sav.formats.records import PartInstance, Problem
from sav.inspection.assigning import Assigner, Assignment, Overlap
from sav.inspection.sides import SeenSide

SCHEMA = "sav-assignments/1"


@dataclass(frozen=True)
class AssignedPhoto:
    """The findings of a photo.

    Attributes:
        image: its file.
        name: its path, relative to the data set.
        width: in pixels.
        height: in pixels.
        parts: of its vehicles.
        vehicles: from which side each vehicle is seen.
        assignments: one a finding.
    """

    image: Path
    name: str
    width: int
    height: int
    parts: Sequence[PartInstance]
    vehicles: dict[int | None, SeenSide]
    assignments: Sequence[Assignment]


def to_json(
    photos: Sequence[AssignedPhoto], assigner: Assigner, source: str, problems: Sequence[Problem]
) -> dict[str, Any]:
    """As plain data, see assignments.schema.json.

    Args:
        photos: all of them; findings are numbered in their order, from 1.
        assigner: that has assigned them.
        source: where the parts are from, in a few words.
        problems: what was left out.
    """
    number = 0
    listed = []
    for photo in photos:
        findings = []
        for assignment in photo.assignments:
            number += 1
            findings.append(_finding(number, assignment))
        sides = [{"vehicle_id": i, "side": side.name} for i, side in photo.vehicles.items()]
        known = {"file": str(photo.image), "width": photo.width, "height": photo.height}
        listed.append(known | {"vehicles": sides, "findings": findings})
    skipped = [{"file": p.file, "record": p.record, "reason": p.reason} for p in problems]
    return {
        **{"schema": SCHEMA, "ontology": assigner.ontology.name, "parts": source},
        "thresholds": {"least": assigner.least, "clear": assigner.clear},
        **{"photos": listed, "skipped": skipped},
    }


def _finding(number: int, assignment: Assignment) -> dict[str, Any]:
    finding = assignment.finding
    return {
        **{"id": number, "label": finding.label, "score": finding.score},
        **{"area": finding.area, "box": list(mask_box(finding.mask))},
        **{"status": assignment.status, "covered": round(assignment.covered, 4)},
        "part": None if assignment.part is None else assignment.part.name,
        **{"side": assignment.side, "vehicle_id": assignment.vehicle_id},
        "in_question": len(assignment.in_question),
        "overlaps": [_overlap(overlap) for overlap in assignment.overlaps],
    }


def _overlap(overlap: Overlap) -> dict[str, Any]:
    return {
        **{"name": overlap.name, "side": overlap.side, "vehicle_id": overlap.vehicle_id},
        "score": None if overlap.score is None else round(overlap.score, 4),
        "share_of_finding": round(overlap.share_of_finding, 4),
        "share_of_part": round(overlap.share_of_part, 4),
    }


def to_coco(photos: Sequence[AssignedPhoto], root: Path, out: Path) -> dict[str, Any]:
    """A COCO instances file of the findings; where they lie is in their attributes.

    Args:
        photos: all of them.
        root: the folder that their names are relative to.
        out: the folder of the file.
    """
    labels = sorted({a.finding.label for photo in photos for a in photo.assignments})
    numbers = {label: number for number, label in enumerate(labels, start=1)}
    images, annotations = [], []
    for photo in photos:
        size = {"width": photo.width, "height": photo.height}
        images.append({"id": len(images) + 1, "file_name": photo.name, **size})
        for assignment in photo.assignments:
            finding = assignment.finding
            ids = {"id": len(annotations) + 1, "image_id": len(images)}
            annotation = {**ids, **finding.to_annotation(numbers[finding.label])}
            if finding.score is not None:
                annotation["score"] = finding.score
            annotation["vehicle_id"] = assignment.vehicle_id
            annotations.append({**annotation, "attributes": _attributes(assignment)})
    return {
        "info": {"image_root": portable(root, out)},
        "categories": [{"id": number, "name": label} for label, number in numbers.items()],
        **{"images": images, "annotations": annotations},
    }


def _attributes(assignment: Assignment) -> dict[str, Any]:
    """Texts and numbers, which tools show; what is not known is left out."""
    part = assignment.part
    known: dict[str, Any] = {
        **{"status": assignment.status, "covered": round(assignment.covered, 4)},
        **{"side": assignment.side or None, "vehicle": assignment.vehicle_id},
    }
    if part is not None:
        known["part"] = part.name
        known["share_of_finding"] = round(part.share_of_finding, 4)
        known["share_of_part"] = round(part.share_of_part, 4)
    elif assignment.in_question:
        known["parts"] = ", ".join(overlap.name for overlap in assignment.in_question)
    return {name: value for name, value in known.items() if value is not None}
