"""The photo that an annotation names, however the tool that wrote it spells file names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from sav.errors import SAVError
from sav.formats.folders import files_below, is_folder
from sav.formats.images import IMAGE_SUFFIXES

OTHER_NAME = "photos found under another name than the annotations give"
"""A note, see :class:`sav.formats.annotation_format.Entry`."""

_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the names of uploaded files."""


class ImageFolder:
    """Looks photos up in a folder.

    Args:
        root: the folder.

    Raises:
        SAVError: there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not is_folder(root):
            raise SAVError(f"{root}: there is no such image folder")
        self.root = root

    def find(self, name: str) -> Path | None:
        """The file that a name means, or None.

        The name as it is, relative to the folder, comes first. Then a backslash is read as a slash,
        URLs and their escapes are undone, Unicode is brought into one form, and folders are left
        out from the left until a file of the folder, or of those below, has the name; in the end
        without what Label Studio puts before it. Upper and lower case count where they tell files
        apart. A name that fits several files fits none.
        """
        found = self.at(name)
        if found is not None or not name:
            return found
        for spelling in _spellings(name):
            parts = PurePosixPath(spelling).parts
            for start in range(len(parts)):
                found = self._called("/".join(parts[start:]))
                if found is not None:
                    return found
        return None

    def at(self, name: str) -> Path | None:
        """The file of exactly this name, relative to the folder and inside it, or None."""
        plain = os.path.normpath(name)
        if not name or PurePosixPath(plain).is_absolute() or plain.split("/")[0] == "..":
            return None
        return existing(self.root / plain)

    @cached_property
    def photos(self) -> list[Path]:
        """All photos in the folder and below, sorted."""
        return files_below(self.root, IMAGE_SUFFIXES)

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """Photos by every end of their path, from the file's name to the whole of it."""
        found: dict[str, list[Path]] = defaultdict(list)
        for path in self.photos:
            parts = path.relative_to(self.root).parts
            for start in range(len(parts)):
                found[_plain("/".join(parts[start:])).casefold()].append(path)
        return found

    def _called(self, name: str) -> Path | None:
        found = self._by_name.get(name.casefold(), [])
        if len(found) > 1:
            found = [path for path in found if f"/{_plain(path.as_posix())}".endswith(f"/{name}")]
        return existing(found[0]) if len(found) == 1 else None


def existing(path: Path) -> Path | None:
    """A path where it is that of a file, and None where it is not, or none that can be."""
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):  # longer than the system allows; with a null character
        return None


class PhotoStems:
    """Looks photos up by their path without suffix.

    Args:
        photos: files in ``root`` and below.
        root: the folder that paths are relative to.
    """

    def __init__(self, photos: Sequence[Path], root: Path) -> None:
        self._by_path: dict[str, list[Path]] = defaultdict(list)
        self._by_end: dict[str, list[Path]] = defaultdict(list)
        for path in photos:
            stem = path_stem(path, root)
            self._by_path[stem].append(path)
            for end in _ends(stem):
                self._by_end[end].append(path)

    def find(self, stem: str, folder: str = "") -> Path | None:
        """The photo of a path without suffix, or None.

        Where none has just this path, it is the only one whose path ends as this one does, in as
        many folders as possible. Two photos that differ in their suffixes alone are none.

        Args:
            stem: the path, with "/".
            folder: that it lies in, where that may tell photos of one name apart.
        """
        whole = PurePosixPath(folder, stem).as_posix()
        for found in (self._by_path.get(stem), *map(self._by_end.get, _ends(whole))):
            if found:
                return found[0] if len(found) == 1 else None
        return None


def _ends(stem: str) -> list[str]:
    """The ends of a path, from the whole of it to its last name."""
    parts = stem.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def path_stem(path: Path, root: Path) -> str:
    """A path relative to a folder, without its suffix, with "/"."""
    return path.relative_to(root).with_suffix("").as_posix()


def _spellings(name: str) -> list[str]:
    """What a name may mean, without its root."""
    plain = [name.replace("\\", "/")]
    try:
        url = urlsplit(plain[0])
        # Label Studio names local files in the query: /data/local-files/?d=folder/photo.jpg
        plain = [*parse_qs(url.query).get("d", []), *plain, url.path]
    except ValueError:  # not a URL: "//[x"
        pass
    spellings = [_plain(one.lstrip("/")) for text in plain for one in (text, unquote(text))]
    names = [PurePosixPath(one).name for one in spellings]
    return spellings + [_UPLOADED.sub("", one) for one in names if _UPLOADED.match(one)]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)
