"""Part annotation files: writing them whole or not at all, and the report beside them."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.records import Problem, RecordResult
from sav.ontology import Ontology

_LISTED_PROBLEMS = 10


def write_splits(
    out: Path,
    ontology: Ontology,
    image_roots: Mapping[str, Path],
    results: Mapping[str, Iterable[RecordResult]],
) -> None:
    """Write instances_<split>.json and report_<split>.json for each split, and print the reports.

    A file that already has these very bytes is left alone.

    Args:
        out: folder, made when missing.
        ontology: names the categories, whose ids are class id + 1.
        image_roots: folder of the images of each split.
        results: of each split, in the order in which images get their ids, from 1.

    Raises:
        SAVError: a split holds no image, or a file cannot be written. No file is written when any
            split is empty.
    """
    reports, texts = {}, {}
    for split, records in results.items():
        contents, report = _collect(records, ontology, _portable(image_roots[split], out))
        if not contents["images"]:
            skipped = [Problem(**entry) for entry in report["skipped"]]
            first = f"; the first problem is {skipped[0]}" if skipped else ""
            raise SAVError(f"{out}: no usable image for split '{split}'{first}")
        reports[split] = report
        texts[f"instances_{split}.json"] = json.dumps(contents) + "\n"
        texts[f"report_{split}.json"] = json.dumps(report, indent=1) + "\n"
    for name, text in texts.items():
        _write_if_changed(out / name, text)
    sys.stdout.write(_format_reports(out, reports))


def _collect(
    results: Iterable[RecordResult], ontology: Ontology, image_root: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The COCO data set of one split, and the report on it."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    notes: Counter[str] = Counter()
    problems: list[Problem] = []
    for result in results:
        notes.update(result.notes)
        problems.extend(result.problems)
        if result.image is None:
            continue
        images.append({"id": len(images) + 1, **result.image})
        for annotation in result.annotations:
            ids = {"id": len(annotations) + 1, "image_id": len(images)}
            annotations.append({**ids, **annotation})
    contents = {
        "info": {"ontology": ontology.name, "image_root": image_root},
        "categories": [{"id": part.id + 1, "name": part.name} for part in ontology.classes],
        "images": images,
        "annotations": annotations,
    }
    per_class = Counter(annotation["category_id"] - 1 for annotation in annotations)
    report = {
        "ontology": ontology.name,
        "images": len(images),
        "instances": len(annotations),
        "instances_per_class": {part.name: per_class[part.id] for part in ontology.classes},
        "notes": {note: count for note, count in sorted(notes.items()) if count},
        "skipped": [asdict(problem) for problem in problems],
    }
    return contents, report


def _portable(image_root: Path, out: Path) -> str:
    """Relative inside one data set folder, so that it can be moved; absolute across trees."""
    image_root, out = image_root.resolve(), out.resolve()
    if image_root.is_relative_to(out.parent):
        return Path(os.path.relpath(image_root, out)).as_posix()
    return image_root.as_posix()


def _write_if_changed(path: Path, text: str) -> None:
    with suppress(OSError):
        if path.read_bytes() == text.encode():
            return
    write_atomic(path, text)


def _format_reports(out: Path, reports: dict[str, dict[str, Any]]) -> str:
    """The reports of several splits as one table, one column a split."""
    names = list(reports)
    rows = [("", *names)]
    for key in ("images", "instances"):
        rows.append((key, *(str(reports[name][key]) for name in names)))
    classes = reports[names[0]]["instances_per_class"]
    for part in classes:
        rows.append((f"  {part}", *(str(reports[n]["instances_per_class"][part]) for n in names)))
    for note in sorted({note for report in reports.values() for note in report["notes"]}):
        rows.append((note, *(str(reports[n]["notes"].get(note, 0)) for n in names)))
    rows.append(("skipped records", *(str(len(reports[n]["skipped"])) for n in names)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
    for name in names:
        skipped = reports[name]["skipped"]
        lines += [f"skipped in {name}: {Problem(**p)}" for p in skipped[:_LISTED_PROBLEMS]]
        if len(skipped) > _LISTED_PROBLEMS:
            lines.append(f"... all {len(skipped)} are listed in {out / f'report_{name}.json'}")
    return "\n".join([*lines, f"written to {out}"]) + "\n"
