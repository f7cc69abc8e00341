"""What every annotation format offers: finding its photos, reading one, writing many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from sav.formats.records import PartInstance, Shape


@dataclass(frozen=True)
class Entry:
    """One photo of a data set, and what is to be read of it; picklable.

    Attributes:
        name: of the photo, relative to ``root``, with "/".
        root: the folder of the data set's photos.
        image: its file; None: there is none, unless ``content`` holds it.
        content: what the format's ``read`` takes: a file, or what was in one.
        source: the annotation file, which problems name; relative to the data where possible.
        split: "train" where the data set does not say.
        group: photos with the same one show one vehicle; None: with no other.
        lost: annotations of the photo that could not be found a place for: what is wrong with each.
        notes: what is harmless, and counted.
    """

    name: str
    root: Path
    image: Path | None
    content: Any
    source: str
    split: str = "train"
    group: str | None = None
    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def without_photo(self, reason: str) -> Entry:
        """The same record, left out for a reason."""
        return replace(self, image=None, lost=(*self.lost, f"{self.name}: {reason}"))


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo and its parts, to be written.

    Attributes:
        image: its file.
        name: its path, with "/", from the folder of its split, or of the data set where the format
            has one list for all; unique there.
        height: in pixels, EXIF rotation applied.
        width: in pixels.
        instances: its parts, larger ones first where a format paints them over each other.
        split: "train", "valid", ...
    """

    image: Path
    name: str
    height: int
    width: int
    instances: Sequence[PartInstance]
    split: str = "train"

    @property
    def root(self) -> Path:
        """The folder that ``name`` is relative to."""
        return self.image.parents[len(PurePosixPath(self.name).parts) - 1]


@dataclass(frozen=True)
class Holds:
    """What a format can hold beside a label and an outline; what it cannot is said when written.

    Attributes:
        instances: two parts of one class are told apart.
        vehicles: parts say which vehicle they belong to.
        holes: a part may have holes.
        pieces: a part may have several pieces.
        masks: masks are kept to the pixel, not as polygons.
        overlaps: a pixel may belong to several parts.
        scores: a part may have a score.
    """

    instances: bool = True
    vehicles: bool = True
    holes: bool = True
    pieces: bool = True
    masks: bool = False
    overlaps: bool = True
    scores: bool = True


@dataclass(frozen=True)
class AnnotationFormat:
    """One format.

    Attributes:
        name: as the command line has it.
        title: as people know it.
        layout: the files that ``find`` expects and ``write`` makes, in one line.
        holds: what survives in it.
        detect: whether a folder, or a file, is in this format; looks at few files. What it does
            not understand is no error.
        find: the photos of a folder or a file, in natural order; ``images`` is the folder of the
            photos where the user names it.
        read: the shapes of an entry, for a photo of height, width in pixels. Raises SAVError where
            nothing of it can be used. Runs in other processes.
        write: the photos to a folder, with the names of all classes; None: it is only read.
        photo: the picture that an annotation file holds itself, as the bytes of an image file;
            None where it holds none.
        splits_apart: it writes a folder or a file for each split, so that photos of two splits may
            have one name.
        files_by_stem: what it writes has names without the ending of the photos', which must then
            differ in more than that.
    """

    name: str
    title: str
    layout: str
    holds: Holds
    detect: Callable[[Path], bool]
    find: Callable[[Path, Path | None], list[Entry]]
    read: Callable[[Entry, int, int], Iterable[Shape]]
    write: Callable[[Iterator[LabelledPhoto], Sequence[str], Path], None] | None = None
    photo: Callable[[Entry], bytes | None] | None = None
    splits_apart: bool = True
    files_by_stem: bool = True
