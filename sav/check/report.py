"""A report as text and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tabulate import tabulate

from sav.check.finding import KINDS, Finding
from sav.check.run import Report
from sav.formats.records import one_line

FORMAT = "sav-check"


def counts(report: Report) -> dict[str, int]:
    """How many findings there are of each kind that occurs, the gravest kind first."""
    number = Counter(finding.kind for finding in report.findings)
    return {kind: number[kind] for kind in KINDS if number[kind]}


def summary(report: Report) -> str:
    """One line: what was checked and how much was found."""
    photos = report.data.photos
    parts = sum(len(photo.parts) for photo in photos)
    found = len({finding.photo.key for finding in report.findings})
    return (
        f"{len(photos)} photos, {parts} parts of {report.data.ontology.name}: "
        f"{len(report.findings)} findings in {found} photos"
    )


def format_text(report: Report, top: int) -> str:
    """The first findings, and the counts of all kinds."""
    rows = [
        [f"{f.rank:.2f}", f.kind, *map(one_line, (f.photo.data, f.photo.path.name, f.text))]
        for f in report.findings[:top]
    ]
    blocks = [tabulate(rows, ["rank", "kind", "file", "photo", "finding"])] if rows else []
    if len(report.findings) > top:
        blocks.append(f"... and {len(report.findings) - top} more")
    kinds = [[kind, number, KINDS[kind].title] for kind, number in counts(report).items()]
    blocks += [tabulate(kinds, tablefmt="plain")] if kinds else []
    blocks += ["\n".join(report.notes)] if report.notes else []
    return "\n\n".join([*blocks, summary(report)]) + "\n"


def to_json(report: Report) -> str:
    """All findings, for programs."""
    contents = {
        "format": FORMAT,
        "ontology": report.data.ontology.name,
        "photos": len(report.data.photos),
        "counts": counts(report),
        "notes": report.notes,
        "findings": [_entry(finding) for finding in report.findings],
    }
    return json.dumps(contents, indent=1) + "\n"


def _entry(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "rank": round(finding.rank, 4),
        "file": finding.photo.data,
        "image_id": finding.photo.id,
        "file_name": finding.photo.path.name,
        "classes": list(finding.classes),
        "annotations": list(finding.parts),
        "proposed": list(finding.proposed),
        "text": finding.text,
    }
