"""Label Studio's JSON: exports with annotations, tasks with predictions, and JSON_MIN."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from statistics import fmean
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

from sav.files import write_atomic
from sav.formats.annotation_format import AnnotationFormat, Entry, Holds, LabelledPhoto
from sav.formats.brush import encode_brush
from sav.formats.folders import any_is, files_of
from sav.formats.image_names import ImageFolder
from sav.formats.images import IMAGE_SUFFIXES
from sav.formats.json_files import read_json
from sav.formats.label_studio_regions import region_shapes
from sav.formats.listing import entries_of_files, photo_entry, split_named
from sav.formats.outlines import outlines
from sav.formats.records import PartInstance, Shape
from sav.formats.xml_text import xml_text

_FILE, _CONFIG = "label_studio.json", "labeling_config.xml"
_LOOKED_AT = 20
_LOCAL_FILES = "/data/local-files/?d="
_UPLOADED = re.compile("^[0-9a-f]{8}-")


def _tasks(file: Path) -> list[Any]:
    """The tasks of a file; none where it is not Label Studio's.

    Raises:
        SAVError: it is broken.
    """
    contents = read_json(file)
    return contents if has_tasks(contents) else []


def has_tasks(contents: Any) -> bool:
    """Whether the contents of a JSON file are tasks, with annotations or predictions."""
    return isinstance(contents, list) and any(
        isinstance(task, dict) and _is_task(task) for task in contents[:_LOOKED_AT]
    )


def _is_task(task: Mapping[str, Any]) -> bool:
    whole = isinstance(task.get("data"), dict) and _answers(task) is not None
    return whole or {"annotation_id", "annotator"} <= task.keys()


def _answers(task: Mapping[str, Any]) -> Any:
    """Annotations and predictions; None where it has neither."""
    names = ("annotations", "completions", "predictions")  # completions are of old versions
    return next((task[name] for name in names if isinstance(task.get(name), list)), None)


def _detect(data: Path) -> bool:
    return any_is(files_of(data, {".json"}), _tasks)


def _find(data: Path, images: Path | None) -> list[Entry]:
    return entries_of_files(data, images, _tasks, _entries)


def _entries(tasks: Sequence[Any], folder: ImageFolder, file: Path) -> Iterator[Entry]:
    uploaded = {_as_uploaded(path.name): path for path in folder.photos}
    drafts = not any(isinstance(task, dict) and _annotations(task) for task in tasks)
    for i, task in enumerate(tasks):
        known = task if isinstance(task, dict) else {}
        where = f"task {known.get('id', i)}"
        about = known.get("data") if isinstance(known.get("data"), dict) else known
        name = _photo_name(about, folder, uploaded)
        content, lost = _results(known, where, drafts=drafts)
        split = split_named(about.get("split"))
        yield photo_entry(where, name, folder, content, file, split=split, lost=lost)


def _photo_name(
    about: Mapping[str, Any], folder: ImageFolder, uploaded: Mapping[str, Path]
) -> str | None:
    """The photo of a task: its value "image", or the only one that looks like a photo."""
    texts = {name: value for name, value in about.items() if isinstance(value, str)}
    photos = [v for v in texts.values() if any(s in v.casefold() for s in IMAGE_SUFFIXES)]
    name = texts.get("image") or (photos[0] if len(photos) == 1 else None)
    if name is None or folder.find(name) is not None:
        return name
    plain = _UPLOADED.sub("", PurePosixPath(unquote(name)).name)
    file = uploaded.get(plain)
    return plain if file is None else file.relative_to(folder.root).as_posix()


def _as_uploaded(name: str) -> str:
    """What Label Studio makes of a file's name on upload, without the digits before it."""
    return re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))


def _annotations(task: Mapping[str, Any]) -> list[Any]:
    found = task.get("annotations", task.get("completions"))
    if found is None and "annotation_id" in task:  # JSON_MIN
        return [task]
    return found if isinstance(found, list) else []


def _results(
    task: Mapping[str, Any], where: str, *, drafts: bool
) -> tuple[tuple[list[Any], Any], list[str]]:
    """What was drawn, with its score if it is a prediction; and what is wrong with it.

    Of several annotations the newest counts, one that is marked as the truth before others.
    Predictions count where no task has an annotation: else they are drafts that nobody has checked.
    """
    answers = task.get("predictions") if drafts else _annotations(task)
    known = [one for one in answers if isinstance(one, dict)] if isinstance(answers, list) else []
    usable = [one for one in known if not (one.get("was_cancelled") or one.get("skipped"))]
    if not usable:
        return ([], None), [
            f"{where}: it was skipped" if known else f"{where}: it is not annotated"
        ]
    newest = max(
        usable, key=lambda one: (bool(one.get("ground_truth")), str(one.get("created_at")))
    )
    result = newest.get("result")
    if "annotation_id" in task and not isinstance(result, list):
        result = _of_min(task)
    if not isinstance(result, list):
        return ([], None), [f"{where}: its annotation has no list 'result'"]
    lost = []
    if len(usable) > 1:
        lost = [f"{where}: of its {len(usable)} annotations only {newest.get('id')} is read"]
    return (result, newest.get("score", 1) if drafts else None), lost


def _of_min(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """JSON_MIN has what was drawn beside the data, without ids."""
    lists = [value for value in task.values() if isinstance(value, list)]
    values = [value for one in lists for value in one if isinstance(value, dict)]
    return [{**value, "value": value} for value in values]


def _read(entry: Entry, height: int, width: int) -> Iterator[Shape]:
    results, score = entry.content
    return region_shapes(results, score, entry.name, (height, width))


def _write(photos: Iterator[LabelledPhoto], classes: Sequence[str], out: Path) -> None:
    found = [
        (photo, [_result(part, photo, i) for i, part in enumerate(photo.instances)])
        for photo in photos
    ]
    drafts = any("score" in result for _, results in found for result in results)
    tasks = [
        {
            "data": {"image": _LOCAL_FILES + quote(photo.name), "split": photo.split},
            "predictions" if drafts else "annotations": [_answer(results, drafts=drafts)],
        }
        for photo, results in found
    ]
    config = _labeling_config(classes)
    write_atomic(out / _FILE, json.dumps(tasks, allow_nan=False) + "\n")
    write_atomic(out / _CONFIG, config)


def _labeling_config(classes: Sequence[str]) -> str:
    """What a project's labeling interface must have for these results."""
    labels = "".join(f"    <Label value={quoteattr(xml_text(name))}/>\n" for name in classes)
    tags = "".join(
        f'  <{tag} name="{name}" toName="image">\n{labels}  </{tag}>\n'
        for name, tag in (("polygon", "PolygonLabels"), ("brush", "BrushLabels"))
    )
    return f'<View>\n  <Image name="image" value="$image"/>\n{tags}</View>\n'


def _answer(results: list[dict[str, Any]], *, drafts: bool) -> dict[str, Any]:
    if not drafts:
        return {"result": results}
    scores = [result["score"] for result in results if "score" in result]
    return {"model_version": "sav", "score": fmean(scores or [0]), "result": results}


def _result(part: PartInstance, photo: LabelledPhoto, i: int) -> dict[str, Any]:
    """A polygon where one is enough, else a brush: those have holes and several pieces."""
    polygons = outlines(part.mask)
    if len(polygons) == 1:
        kind, percent = "polygon", polygons[0] / (photo.width, photo.height) * 100
        value: dict[str, Any] = {"points": percent.round(5).tolist(), "closed": True}
    else:
        kind, value = "brush", {"format": "rle", "rle": encode_brush(part.mask)}
    result = {
        "id": f"part{i}",
        "type": f"{kind}labels",
        "from_name": kind,
        "to_name": "image",
        "original_width": photo.width,
        "original_height": photo.height,
        "image_rotation": 0,
        "value": {**value, f"{kind}labels": [part.label]},
    }
    if part.vehicle_id is not None:
        result["meta"] = {"text": [f"vehicle {part.vehicle_id}"]}
    if part.score is not None:
        result["score"] = part.score
    return result


LABEL_STUDIO = AnnotationFormat(
    name="label_studio",
    title="Label Studio",
    layout="an export as .json, photos beside or in a folder below",
    holds=Holds(),
    detect=_detect,
    find=_find,
    read=_read,
    write=_write,
    splits_apart=False,
)
