"""VehicleSeg10K's two on-disk forms -> the project's part annotation files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sav.errors import SAVError
from sav.formats.images import read_image_size
from sav.formats.index_mask import instances_of, read_index_mask
from sav.formats.labelme import ShapeReader
from sav.formats.painting import MIN_VISIBLE_PIXELS, paint
from sav.formats.part_files import write_splits
from sav.formats.records import Problem, RecordResult, convert_all
from sav.ontology import Ontology

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class VehicleSegSource:
    """What to read.

    Attributes:
        root: folder with images/<split>/ and annotations/<split>/.
        ontology: vocabulary of labels and mask values.
        foreground: "rest" or "whole"; see :func:`sav.formats.painting.paint`.
        min_pixels: components of index masks that are smaller are dropped and counted.
    """

    root: Path
    ontology: Ontology
    foreground: str = "rest"
    min_pixels: int = 16


@dataclass(frozen=True)
class _Task:
    split: str
    stem: str
    images: tuple[str, ...]
    annotation: str | None


def convert_vehicleseg10k(
    source: VehicleSegSource,
    out: Path,
    *,
    splits: Sequence[str] = ("train", "valid"),
    workers: int = 0,
    strict: bool = False,
) -> None:
    """Write instances_<split>.json and report_<split>.json for each split.

    Image and annotation belong together by stem; an annotation is a LabelMe JSON file or an index
    PNG, whichever is there, JSON first. Nothing is written unless all splits succeed.

    Args:
        source: what to read.
        out: folder to write to.
        splits: names of the sub-folders.
        workers: number of processes, 0 for one a core; the output does not depend on it.
        strict: stop at the first record that cannot be used.

    Raises:
        SAVError: a folder is missing or empty, or a record is not usable and ``strict`` is set.
    """
    tasks = {split: _find_tasks(source.root, split) for split in splits}
    convert = partial(_convert_record, source)
    results = {
        split: convert_all(convert, members, workers=workers, strict=strict, title=split)
        for split, members in tasks.items()
    }
    image_roots = {split: source.root / "images" / split for split in tasks}
    write_splits(out, source.ontology, image_roots, results)


def _find_tasks(root: Path, split: str) -> list[_Task]:
    """Pair images and annotations of a split by stem, in the order of the stems."""
    images = _files_by_stem(root / "images" / split, IMAGE_SUFFIXES)
    annotations = _files_by_stem(root / "annotations" / split, (".json", ".png"))
    return [
        _Task(
            split,
            stem,
            tuple(images.get(stem, ())),
            # ".json" sorts before ".png".
            next(iter(annotations.get(stem, ())), None),
        )
        for stem in sorted(images.keys() | annotations.keys())
    ]


def _files_by_stem(folder: Path, suffixes: Iterable[str]) -> dict[str, list[str]]:
    if not folder.is_dir():
        raise SAVError(f"{folder}: there is no such folder; expected {folder.parent.name}/<split>/")
    found = defaultdict(list)
    for path in sorted(folder.iterdir()):
        # Hidden files are the rest of an interrupted write, or an archiver's.
        hidden = path.name.startswith(".")
        if path.suffix.lower() in suffixes and not hidden and not path.stem.endswith("_color"):
            found[path.stem].append(path.name)
    if not found:
        raise SAVError(f"{folder}: it holds no file of type {', '.join(suffixes)}")
    return found


def _convert_record(source: VehicleSegSource, task: _Task) -> RecordResult:
    result = RecordResult()
    image_folder = Path("images") / task.split
    annotation_folder = Path("annotations") / task.split

    def fail(file: Path, reason: object, record: str = "") -> RecordResult:
        result.problems.append(Problem(file.as_posix(), record, str(reason)))
        return result

    if task.annotation is None:
        return fail(image_folder / task.images[0], "the image has no annotation")
    annotation = annotation_folder / task.annotation
    if len(task.images) != 1:
        what = f"has {len(task.images)} images" if task.images else "has no image"
        return fail(annotation, f"the annotation {what} in {image_folder.as_posix()}")
    image = image_folder / task.images[0]
    try:
        width, height = read_image_size(source.root / image)
    except SAVError as error:
        return fail(image, error)
    shape_problems: list[tuple[str, str]] = []
    try:
        if annotation.suffix.lower() == ".json":
            reader = ShapeReader(source.ontology, width, height, result.notes, shape_problems)
            shapes = reader.read(source.root / annotation)
            instances = list(paint(shapes, source.ontology.body_ids, source.foreground))
            hidden = len(shapes) - len(instances)
            result.notes[f"shapes under {MIN_VISIBLE_PIXELS} visible pixels dropped"] += hidden
        else:
            path = source.root / annotation
            labels = read_index_mask(path, width, height, len(source.ontology))
            instances = list(
                instances_of(
                    labels, source.ontology, source.foreground, source.min_pixels, result.notes
                )
            )
    except SAVError as error:
        return fail(annotation, error)
    for record, reason in shape_problems:
        fail(annotation, reason, record)
    result.image = {"file_name": task.images[0], "width": width, "height": height}
    result.annotations = [instance.to_annotation() for instance in instances]
    return result
