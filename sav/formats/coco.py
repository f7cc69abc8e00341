"""COCO instances files: any to read, part annotations to write, with a report beside them."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.records import Problem, RecordResult
from sav.ontology import Ontology
from sav.parallel import map_in_processes

_REQUIRED = {
    "images": {"id", "file_name", "width", "height"},
    "annotations": {"id", "image_id", "category_id", "segmentation"},
    "categories": {"id", "name"},
}
_LISTED_PROBLEMS = 10
_Task = TypeVar("_Task")


def read_coco(path: Path) -> dict[str, Any]:
    """Read a COCO instances file and check that it has what a converter or a loader needs.

    Raises:
        SAVError: the file is missing, broken or no COCO file.
    """
    try:
        contents = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise SAVError(f"{path}: there is no such annotation file") from error
    except (ValueError, RecursionError) as error:
        raise SAVError(f"{path}: not valid JSON: {error}") from error
    for key in _REQUIRED:
        if not isinstance(contents, dict) or not isinstance(contents.get(key), list):
            raise SAVError(f"{path}: not a COCO instances file: it has no list '{key}'")
    for key, fields in _REQUIRED.items():
        for i, entry in enumerate(contents[key]):
            missing = sorted(fields - entry.keys()) if isinstance(entry, dict) else sorted(fields)
            if missing:
                raise SAVError(f"{path}: {key}[{i}]: it has no '{missing[0]}'")
    return contents


def convert_splits(
    convert: Callable[[_Task], RecordResult],
    tasks: Mapping[str, Sequence[_Task]],
    image_roots: Mapping[str, Path],
    out: Path,
    ontology: Ontology,
    *,
    workers: int,
    strict: bool,
    orphans: Sequence[Problem] = (),
) -> None:
    """Write instances_<split>.json and report_<split>.json for each split, and print the reports.

    A file that already has these very bytes is left alone.

    Args:
        convert: makes a result of a task; picklable.
        tasks: of each split, one an image, in the order in which images get their ids, from 1.
        image_roots: folder of the images of each split.
        out: folder to write to, made when missing.
        ontology: names the categories, whose ids are class id + 1.
        workers: number of processes, 0 for one a core; the output does not depend on it.
        strict: stop at the first problem.
        orphans: problems of the first split that belong to no image.

    Raises:
        SAVError: a split holds no image, a file cannot be written, or there is a problem and
            ``strict`` is set. No file is written unless all splits succeed.
    """
    if strict and orphans:
        raise SAVError(str(orphans[0]))
    convert = partial(_checked, convert, strict)
    reports, texts = {}, {}
    for split, members in tasks.items():
        results = map_in_processes(convert, members, workers=workers, chunk=16, title=split)
        contents, report = _collect(results, ontology)
        contents["info"]["image_root"] = _portable(image_roots[split], out)
        report["skipped"] += () if reports else orphans
        if not contents["images"]:
            first = "".join(f"; the first problem is {p}" for p in report["skipped"][:1])
            raise SAVError(f"{out}: no usable image for split '{split}'{first}")
        reports[split] = report
        texts[f"instances_{split}.json"] = json.dumps(contents) + "\n"
        texts[f"report_{split}.json"] = json.dumps(report, indent=1, default=asdict) + "\n"
    for name, text in texts.items():
        with suppress(OSError):
            if (out / name).read_bytes() == text.encode():
                continue
        write_atomic(out / name, text)
    sys.stdout.write(_format_reports(out, reports))


def _checked(convert: Callable[[_Task], RecordResult], strict: bool, task: _Task) -> RecordResult:
    result = convert(task)
    if strict and result.problems:
        raise SAVError(str(result.problems[0]))
    return result


def _collect(
    results: Iterable[RecordResult], ontology: Ontology
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The COCO data set of one split, and the report on it."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    notes: Counter[str] = Counter()
    problems: list[Problem] = []
    for result in results:
        notes.update(result.notes)
        problems += result.problems
        if result.image is None:
            continue
        images.append({"id": len(images) + 1, **result.image})
        for annotation in result.annotations:
            ids = {"id": len(annotations) + 1, "image_id": len(images)}
            annotations.append({**ids, **annotation})
    contents = {
        "info": {"ontology": ontology.name},
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
        "skipped": problems,
    }
    return contents, report


def _portable(image_root: Path, out: Path) -> str:
    """Relative inside one data set folder, so that it can be moved; absolute across trees."""
    image_root, out = image_root.resolve(), out.resolve()
    if image_root.is_relative_to(out.parent):
        image_root = Path(os.path.relpath(image_root, out))
    return image_root.as_posix()


def _format_reports(out: Path, reports: dict[str, dict[str, Any]]) -> str:
    """The reports of several splits as one table, one column a split."""
    columns = list(reports.values())
    rows = [("", *reports)]
    rows += [(key, *(column[key] for column in columns)) for key in ("images", "instances")]
    for part in columns[0]["instances_per_class"]:
        rows.append((f"  {part}", *(column["instances_per_class"][part] for column in columns)))
    for note in sorted({note for column in columns for note in column["notes"]}):
        rows.append((note, *(column["notes"].get(note, 0) for column in columns)))
    rows.append(("skipped records", *(len(column["skipped"]) for column in columns)))
    first, *widths = (max(len(str(cell)) for cell in cells) for cells in zip(*rows, strict=True))
    lines = [
        "  ".join([title.ljust(first), *(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))])
        for title, *cells in rows
    ]
    for name, report in reports.items():
        skipped = report["skipped"]
        lines += [f"skipped in {name}: {problem}" for problem in skipped[:_LISTED_PROBLEMS]]
        if len(skipped) > _LISTED_PROBLEMS:
            lines.append(f"... all {len(skipped)} are listed in {out / f'report_{name}.json'}")
    return "\n".join([*lines, f"written to {out}"]) + "\n"
