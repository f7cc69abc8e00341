"""All annotation formats, by name."""

from __future__ import annotations

from pathlib import Path

from sav.errors import SAVError
from sav.formats.annotation_format import AnnotationFormat, Entry
from sav.formats.archives import ARCHIVE_SUFFIXES, is_archive, unpack
from sav.formats.coco import COCO
from sav.formats.cvat import CVAT
from sav.formats.folders import files_below
from sav.formats.label_maps import MASKS
from sav.formats.label_studio import LABEL_STUDIO
from sav.formats.labelme import LABELME
from sav.formats.predictions import PREDICTIONS
from sav.formats.records import reason_of
from sav.formats.supervisely import SUPERVISELY
from sav.formats.via import VIA
from sav.formats.yolo import YOLO

FORMATS = {
    form.name: form
    for form in (
        *(COCO, PREDICTIONS, LABELME, CVAT, VIA, LABEL_STUDIO, SUPERVISELY),
        *(YOLO, MASKS),
    )
}
"""In the order in which they are tried; the more particular first."""


def open_data(
    data: Path, images: Path | None, name: str | None, out: Path
) -> tuple[AnnotationFormat, list[Entry]]:
    """Find the format of a data set, and its photos.

    Args:
        data: a folder or a file; an archive is unpacked into ``out``/unpacked first.
        images: folder of the photos; None: beside the annotations.
        name: of the format; None: to be found out.
        out: folder of what is made of the data.

    Raises:
        SAVError: there is no such data, or none in a known format, or ``out`` lies in it and
            is not empty.
    """
    if not (data.is_file() or data.is_dir()):  # a pipe would be waited for
        raise SAVError(f"{data}: there is no such file or folder")
    if data.is_dir() and out.resolve().is_relative_to(data.resolve()) and any(out.glob("*")):
        raise SAVError(
            f"{out}: lies in {data}, and what it holds would be read as if it were annotated "
            "there; remove it, or choose an output elsewhere"
        )
    if is_archive(data):
        unpack(data, out / "unpacked")
        data = out / "unpacked"
    form = FORMATS[name] if name else detect_format(data)
    try:
        entries = form.find(data, images)
    except SAVError:
        raise
    except Exception as error:
        raise SAVError(f"{data}: read as {form.title}: {reason_of(error)}") from error
    if not entries:
        raise SAVError(f"{data}: it holds no photo annotated in the format {form.title}")
    return form, entries


def detect_format(data: Path) -> AnnotationFormat:
    """The format of a folder or a file.

    Raises:
        SAVError: it is in no known format.
    """
    for form in FORMATS.values():
        if form.detect(data):
            return form
    reason = "the format of its annotations is not recognised"
    packed = files_below(data, ARCHIVE_SUFFIXES) if data.is_dir() else []
    if packed:
        raise SAVError(f"{data}: {reason}; it holds an archive, {packed[0].name}: unpack that")
    raise SAVError(f"{data}: {reason}; name one of {', '.join(FORMATS)}")
