"""VehicleSeg10K's two on-disk forms -> the project's part annotation files."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sav.errors import SAVError
from sav.formats.annotation_format import Entry
from sav.formats.images import IMAGE_SUFFIXES, read_image_size
from sav.formats.index_mask import instances_of_index, read_index_mask
from sav.formats.labelme import read_shapes
from sav.formats.labels import Labels
from sav.formats.painting import paint
from sav.formats.part_annotations import convert_splits
from sav.formats.reading import Reading, finish, instances_of, problems_of
from sav.formats.records import RecordResult
from sav.ontology import Ontology

MISSPELLINGS = {"Foroud": "Foreground", "Foregroud": "Foreground"}
IGNORED_LABEL = "Others"

_Task = tuple[list[Path], list[Path]]
"""Images and annotations of one stem, relative to the root, in the order of their names."""


@dataclass(frozen=True)
class VehicleSegSource:
    """What to read.

    Attributes:
        root: folder with images/<split>/ and annotations/<split>/.
        ontology: vocabulary of labels and mask values.
        foreground: "rest" or "whole"; see :func:`sav.formats.painting.paint`.
        min_pixels: components of index masks that are smaller are dropped and counted.
        group: what LabelMe's groups are, see :class:`Reading`.
    """

    root: Path
    ontology: Ontology
    foreground: str = "rest"
    min_pixels: int = 16
    group: str = "vehicle"

    @property
    def reading(self) -> Reading:
        """How LabelMe shapes are read."""
        known = self.ontology.class_names
        rename = {old: new for old, new in MISSPELLINGS.items() if new in known}
        labels = Labels(known, self.ontology.name, rename, frozenset({IGNORED_LABEL}))
        return Reading(labels, min_pixels=1, group=self.group)


def convert_vehicleseg10k(
    source: VehicleSegSource,
    out: Path,
    *,
    splits: Sequence[str] = ("train", "valid"),
    workers: int = 0,
    strict: bool = False,
) -> None:
    """Write part annotations and reports, see :func:`sav.formats.part_annotations.convert_splits`.

    Image and annotation belong together by stem; an annotation is a LabelMe JSON file or an index
    PNG, whichever is there, JSON first.

    Args:
        source: what to read.
        out: folder to write to.
        splits: names of the sub-folders.
        workers: number of processes, 0 for one a core.
        strict: stop at the first record that cannot be used.

    Raises:
        SAVError: a folder is missing or empty, or a split cannot be converted.
    """
    tasks = {split: _find_tasks(source.root, split) for split in splits}
    convert = partial(_convert_record, source)
    roots = {split: source.root / "images" / split for split in splits}
    convert_splits(convert, tasks, roots, out, source.ontology, workers=workers, strict=strict)


def _find_tasks(root: Path, split: str) -> list[_Task]:
    """Pair images and annotations of a split by stem, in the order of the stems."""
    images = _files_by_stem(root, Path("images", split), IMAGE_SUFFIXES)
    annotations = _files_by_stem(root, Path("annotations", split), (".json", ".png"))
    stems = sorted(images.keys() | annotations.keys())
    return [(images.get(stem, []), annotations.get(stem, [])) for stem in stems]


def _files_by_stem(root: Path, folder: Path, suffixes: Iterable[str]) -> dict[str, list[Path]]:
    place = root / folder
    if not place.is_dir():
        raise SAVError(f"{place}: there is no such folder; expected {folder.parent}/<split>/")
    found = defaultdict(list)
    for path in sorted(place.iterdir()):
        # Hidden files are the rest of an interrupted write, or an archiver's.
        hidden = path.name.startswith(".")
        if path.suffix.lower() in suffixes and not hidden and not path.stem.endswith("_color"):
            # File systems differ in the form of Unicode.
            found[unicodedata.normalize("NFC", path.stem)].append(folder / path.name)
    if not found:
        raise SAVError(f"{place}: it holds no file of type {', '.join(sorted(suffixes))}")
    return found


def _convert_record(source: VehicleSegSource, task: _Task) -> RecordResult:
    result = RecordResult()
    images, annotations = task
    if not annotations:
        return result.skip(images[0], "the image has no annotation")
    # ".json" sorts before ".png".
    annotation = annotations[0]
    if len(images) != 1:
        what = f"has {len(images)} images" if images else "has no image"
        folder = Path("images") / annotation.parent.relative_to("annotations")
        return result.skip(annotation, f"the annotation {what} in {folder.as_posix()}")
    with problems_of(annotation.as_posix(), "", result):
        try:
            width, height = read_image_size(source.root / images[0])
        except SAVError as error:
            return result.skip(images[0], error)
        annotated = _read_instances(source, annotation, (height, width), result)
        entry = Entry(images[0].name, source.root, None, None, annotation.as_posix())
        finish(entry, (height, width), annotated, result)
    return result


def _read_instances(
    source: VehicleSegSource, annotation: Path, size: tuple[int, int], result: RecordResult
) -> int:
    """Fill in the instances; how many shapes or classes the annotation has."""
    ontology, foreground = source.ontology, source.foreground
    if annotation.suffix.lower() == ".json":
        shapes = list(read_shapes(source.root / annotation, *size))
        parts = instances_of(shapes, size, source.reading, annotation.as_posix(), result)
        bodies = {ontology.class_names[i] for i in ontology.body_ids}
        result.instances = paint(parts, bodies, foreground, result.notes)
        return len(shapes)
    labels = read_index_mask(source.root / annotation, size, len(ontology))
    options = foreground, source.min_pixels, result.notes
    result.instances = instances_of_index(labels, ontology, *options)
    return int(labels.any())
