"""Annotations of any format -> the project's part annotation files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from sav.formats.annotation_format import AnnotationFormat, Entry
from sav.formats.entries import below, common_root, ready
from sav.formats.painting import paint
from sav.formats.part_annotations import convert_splits
from sav.formats.reading import Reading, problems_of, read_entry
from sav.formats.records import RecordResult
from sav.formats.splits import choose_valid, split_records
from sav.formats.vehicles import assign_vehicles
from sav.ontology import Ontology


@dataclass(frozen=True)
class Preparation:
    """How part annotations are written.

    Attributes:
        ontology: whose classes they are.
        valid: see :func:`choose_valid`; 0 keeps the splits of the data.
        seed: of the shuffle that precedes the split.
        workers: number of processes, 0 for one a core.
        strict: stop at the first record that cannot be used.
        group_by_folder: the photos in one folder show one vehicle, where the data does not say.
        one_vehicle: each photo shows one vehicle, where the data does not say.
    """

    ontology: Ontology
    valid: int = 0
    seed: int = 0
    workers: int = 0
    strict: bool = False
    group_by_folder: bool = False
    one_vehicle: bool = False


def prepare_parts(
    form: AnnotationFormat,
    entries: Sequence[Entry],
    reading: Reading,
    out: Path,
    preparation: Preparation,
) -> None:
    """Write part annotations and reports.

    Args:
        form: what reads the entries.
        entries: see :class:`AnnotationFormat`.
        reading: how.
        out: folder to write to.
        preparation: see :class:`Preparation`.

    Raises:
        SAVError: the input is not usable, or one record is not and ``strict`` is set; see
            :func:`sav.formats.part_annotations.convert_splits`.
    """
    for name in reading.split_classes:
        preparation.ontology.class_id(name)
    entries = ready(form, entries, out / "images")
    if preparation.group_by_folder:
        entries = [_of_folder(entry) for entry in entries]
    splits = _splits(entries, preparation)
    roots = {split: common_root(members) for split, members in splits.items()}
    tasks = {split: below(roots[split], members) for split, members in splits.items()}
    convert = partial(_convert, form, reading, preparation)
    options = {"workers": preparation.workers, "strict": preparation.strict}
    convert_splits(convert, tasks, roots, out, preparation.ontology, **options)


def _of_folder(entry: Entry) -> Entry:
    folder = PurePosixPath(entry.name).parent
    if entry.group is not None or folder == PurePosixPath():
        return entry
    return replace(entry, group=(PurePosixPath(entry.root.resolve().name) / folder).as_posix())


def _splits(entries: Sequence[Entry], preparation: Preparation) -> dict[str, list[Entry]]:
    if not preparation.valid:
        found: dict[str, list[Entry]] = {}
        for entry in entries:
            found.setdefault(entry.split, []).append(entry)
        return found
    entries = below(common_root(entries), entries)
    groups = {entry.name: entry.group for entry in entries if entry.image is not None}
    held_out = choose_valid(groups, preparation.valid, preparation.seed)
    return split_records([(entry.name, entry) for entry in entries], held_out)


def _convert(
    form: AnnotationFormat, reading: Reading, preparation: Preparation, entry: Entry
) -> RecordResult:
    result = read_entry(form, reading, entry)
    ontology = preparation.ontology
    names = ontology.class_names
    bodies = {names[i] for i in (*ontology.body_ids, *ontology.rest_ids)}
    if preparation.one_vehicle:
        result.instances = [
            replace(part, vehicle_id=part.vehicle_id or 0) for part in result.instances
        ]
    with problems_of(entry.source, entry.name, result):
        if ontology.rest_ids:  # people draw the whole vehicle, and parts over it
            result.instances = paint(result.instances, bodies, "rest", result.notes)
        else:
            result.instances = assign_vehicles(result.instances, bodies)
    return result
