"""A gallery as a folder of two or three files."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from sav.errors import SAVError
from sav.files import native_name, write_atomic
from sav.gallery.exemplars import Exemplars
from sav.gallery.search import KeyIndex
from sav.gallery.store import Gallery
from sav.gallery.vehicles import vehicles_from_columns

GALLERY_FILE = "gallery.json"
_TENSORS = "gallery.safetensors"
_INDEX = "gallery.faiss"
_VERSION = 5
_BROKEN = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_UNREADABLE = (OSError, SafetensorError, *_BROKEN)


def save_gallery(gallery: Gallery, folder: Path) -> None:
    """Write a gallery, each of its files atomically."""
    tensors = {} if gallery.exemplars is None else gallery.exemplars.tensors()
    # An index that belongs to other tensors must not be found, whenever we are interrupted.
    (folder / _INDEX).unlink(missing_ok=True)
    write_atomic(folder / _TENSORS, save({k: v.contiguous() for k, v in tensors.items()}))
    contents = {
        "version": _VERSION,
        "fingerprint": gallery.fingerprint,
        "sources": gallery.sources,
        "index": gallery.index and gallery.index.recipe,
        **gallery.vehicles.columns(),
    }
    write_atomic(folder / GALLERY_FILE, json.dumps(contents, indent=1))
    if gallery.index is not None:
        gallery.index.save(folder / _INDEX)


def load_gallery(folder: Path) -> Gallery:
    """Read a saved gallery, ready for search.

    Raises:
        SAVError: a file is missing, broken or of another version.
    """
    try:
        contents = json.loads((folder / GALLERY_FILE).read_text(encoding="utf-8"))
        if contents.get("version") != _VERSION:
            raise ValueError("it is of another version of SAV")
        with native_name(folder / _TENSORS) as name:
            tensors = load_file(name)
        gallery = Gallery(contents["fingerprint"])
        gallery.sources = contents["sources"]
        vehicles = vehicles_from_columns(contents)
        if vehicles:
            gallery.update(vehicles, Exemplars(**tensors))
            _open_index(gallery, folder / _INDEX, contents["index"])
    except _UNREADABLE as error:
        raise SAVError(
            f"{folder}: the gallery cannot be read ({error}); build it again with "
            "'sav gallery build'"
        ) from error
    return gallery


def _open_index(gallery: Gallery, path: Path, recipe: str | None) -> None:
    """Read the index where there is one, and make it where its file is gone."""
    if recipe is None or not path.is_file():
        gallery.build_index()
        return
    index = KeyIndex.read(path, recipe)
    if len(index) != len(gallery):
        raise ValueError(f"{path.name} has {len(index)} of {len(gallery)} vehicles")
    gallery.index = index
