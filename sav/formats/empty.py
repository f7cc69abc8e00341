"""Photos without a vehicle: a folder of them -> annotation files without annotations."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sav.errors import SAVError
from sav.formats.folders import files_below
from sav.formats.images import IMAGE_SUFFIXES, read_image_size
from sav.formats.part_annotations import convert_splits
from sav.formats.records import RecordResult
from sav.formats.splits import choose_valid, split_records
from sav.ontology import Ontology


def convert_empty(
    folder: Path,
    ontology: Ontology,
    out: Path,
    *,
    valid: int = 0,
    seed: int = 0,
    workers: int = 0,
    strict: bool = False,
) -> None:
    """Write annotation files and reports, see :func:`sav.formats.part_annotations.convert_splits`.

    Args:
        folder: all images in it and below show no vehicle.
        ontology: none of its parts is in them.
        out: folder to write to.
        valid: see :func:`sav.formats.splits.choose_valid`; 0 writes no "valid" split.
        seed: of the shuffle that precedes the split.
        workers: number of processes, 0 for one a core.
        strict: stop at the first image that cannot be used.

    Raises:
        SAVError: there is no image, or one cannot be used and ``strict`` is set.
    """
    if not folder.is_dir():
        raise SAVError(f"{folder}: there is no such image folder")
    files = files_below(folder, IMAGE_SUFFIXES)
    if not files:
        raise SAVError(f"{folder}: there is no image in it or below")
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    held_out = choose_valid(dict.fromkeys(names), valid, seed)
    splits = split_records(zip(names, names, strict=True), held_out)
    convert_splits(
        partial(_convert_image, folder),
        splits,
        dict.fromkeys(splits, folder),
        out,
        ontology,
        workers=workers,
        strict=strict,
    )


def _convert_image(folder: Path, name: str) -> RecordResult:
    result = RecordResult()
    try:
        width, height = read_image_size(folder / name)
    except SAVError as error:
        return result.skip(folder / name, error)
    result.image = {"file_name": name, "width": width, "height": height}
    return result
