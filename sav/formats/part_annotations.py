"""Part annotations, the files that training reads, and a report beside each."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sav.errors import SAVError
from sav.files import check_folder, write_atomic
from sav.formats.folders import portable
from sav.formats.records import Problem, RecordResult
from sav.ontology import Ontology
from sav.parallel import map_in_processes

_LISTED_PROBLEMS = 10
_OURS = b'"ontology": '
"""How annotation files and reports begin."""
_Task = TypeVar("_Task")


def convert_splits(
    convert: Callable[[_Task], RecordResult],
    tasks: Mapping[str, Sequence[_Task]],
    image_roots: Mapping[str, Path],
    out: Path,
    ontology: Ontology,
    *,
    workers: int,
    strict: bool,
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

    Raises:
        SAVError: a split holds no image, a file cannot be written or is not of ours, or there is a
            problem and ``strict`` is set. No file is written unless all splits succeed.
    """
    check_folder(out)
    for split in tasks:
        _check_ours(out / f"instances_{split}.json", out / f"report_{split}.json")
    convert = partial(_checked, convert, strict)
    reports, texts = {}, {}
    for split, members in tasks.items():
        results = map_in_processes(convert, members, workers=workers, chunk=16, title=split)
        contents, report = _collect(results, ontology)
        contents["info"]["image_root"] = portable(image_roots[split], out)
        if not contents["images"]:
            first = "".join(f"; the first problem is {p}" for p in report["skipped"][:1])
            raise SAVError(f"{out}: no usable image for split '{split}'{first}")
        reports[split] = report
        texts[f"instances_{split}.json"] = json.dumps(contents) + "\n"
        texts[f"report_{split}.json"] = json.dumps(report, indent=1, default=asdict) + "\n"
    for name, text in texts.items():
        if not _is_there(out / name, text):
            write_atomic(out / name, text)
    sys.stdout.write(_format_reports(out, reports) + _of_before(out, reports))


def _check_ours(*files: Path) -> None:
    """Refuse to write over files of others, such as the ones that are read."""
    for file in files:
        if file.exists() and not (file.is_file() and _OURS in file.read_bytes()[: 2 * len(_OURS)]):
            raise SAVError(f"{file}: exists, and is not of SAV; choose another output folder")


def _of_before(out: Path, splits: Collection[str]) -> str:
    """A line on files of other splits: their photos may be among those of these."""
    names = [path.name for path in sorted(out.glob("instances_*.json"))]
    others = [name for name in names if name[len("instances_") : -len(".json")] not in splits]
    return f"left as before: {', '.join(others)}\n" if others else ""


def _is_there(file: Path, text: str) -> bool:
    return file.is_file() and file.read_bytes() == text.encode()


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
        for part in result.instances:
            ids = {"id": len(annotations) + 1, "image_id": len(images)}
            category = ontology.class_id(part.label) + 1
            annotations.append({**ids, **part.to_annotation(category)})
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
