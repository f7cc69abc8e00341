"""``-`` in the place of a file: the standard input."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from sav.errors import SAVError
from sav.files import check_new, write_atomic
from sav.formats.images import BROKEN, PICTURE_FORMATS
from sav.predict.sources import read_photo

STDIN = "-"
_NAME = "stdin"


class StdinPhoto:
    """A photo on the standard input, to be kept with its results, which refer to it.

    Args:
        folder: of the results; the photo gets a sub-folder, as results lie beside no input.
        asked: whether there is to be one.
        overwrite: whether its file may take the place of another.

    Attributes:
        files: where it will be; empty where none is asked for.

    Raises:
        SAVError: nothing is there, or no photo, or its file exists.
    """

    def __init__(self, folder: Path, *, asked: bool, overwrite: bool) -> None:
        self.files: list[Path] = []
        if asked:
            self._content = _read()
            self.files = [folder / _NAME / f"{_NAME}.{_photo_ending(self._content)}"]
            check_new(self.files, overwrite=overwrite)

    def write(self) -> None:
        """Make the file, once everything else has been found good."""
        for file in self.files:
            write_atomic(file, self._content)


def read_photo_or_stdin(path: Path) -> np.ndarray:
    """Read a photo of which nothing is kept.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        SAVError: it cannot be read.
    """
    if str(path) != STDIN:
        return read_photo(path)
    with TemporaryDirectory(prefix="sav-stdin-") as folder:
        photo = StdinPhoto(Path(folder), asked=True, overwrite=False)
        photo.write()
        return read_photo(photo.files[0])


@contextmanager
def annotations_of(words: Sequence[str]) -> Iterator[list[str]]:
    """Command line words with a temporary file in the place of ``-``, or what ends in ``=-``.

    The file has what is on the standard input: JSON, XML, a zip or a tar.

    Args:
        words: files and folders, each perhaps with a name, NAME=PATH.

    Raises:
        SAVError: several are the standard input, or nothing is there.
    """
    asked = [word for word in words if word.rpartition("=")[2] == STDIN]
    if len(asked) > 1:
        raise SAVError("-: the standard input can be read once only")
    with TemporaryDirectory(prefix="sav-stdin-") as folder:
        if asked:
            content = _read()
            file = Path(folder, f"{_NAME}{_ending(content)}")
            file.write_bytes(content)
            words = [w.removesuffix(STDIN) + str(file) if w in asked else w for w in words]
        yield list(words)


def _read() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise SAVError("-: nothing comes on the standard input; pipe a file into it")
    content = sys.stdin.buffer.read()
    if not content:
        raise SAVError("-: the standard input is empty")
    return content


def _photo_ending(content: bytes) -> str:
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as image:
            form = (image.format or "").lower()
    except BROKEN as error:
        raise SAVError("-: the standard input is no photo; videos are read from files") from error
    return {"jpeg": "jpg", "mpo": "jpg"}.get(form, form)


def _ending(content: bytes) -> str:
    if zipfile.is_zipfile(io.BytesIO(content)):
        return ".zip"
    if tarfile.is_tarfile(io.BytesIO(content)):
        return ".tar"
    return ".xml" if content.lstrip()[:1] == b"<" else ".json"
