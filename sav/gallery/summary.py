"""What a gallery holds, as plain data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from sav.files import file_digest
from sav.gallery.store import Gallery


def describe_gallery(gallery: Gallery, folder: Path) -> dict[str, Any]:
    """Count a gallery, and compare its sources with the files that they came from.

    Args:
        gallery: as loaded.
        folder: from there.

    Returns:
        numbers of vehicles, bytes, photos, groups of photos and grouped photos; the kind of search;
        the fingerprint; by data set the vehicles, the annotation file and what became of it; by
        class the vehicles that show it, empty where that is not known.
    """
    photos = {vehicle.photo.id: vehicle.photo for vehicle in gallery.vehicles}.values()
    groups = Counter(photo.group for photo in photos if photo.group is not None)
    classes, exemplars = gallery.fingerprint.get("classes"), gallery.exemplars
    shown = exemplars.present.sum(dim=0).tolist() if classes and exemplars is not None else []
    return {
        "folder": str(folder),
        "vehicles": len(gallery),
        "bytes": sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
        "search": gallery.search_method,
        "photos": len(photos),
        "groups": len(groups),
        "grouped_photos": groups.total(),
        "fingerprint": gallery.fingerprint,
        "data_sets": {
            name: {
                "vehicles": source["vehicles"],
                "annotations": source["file"],
                "since_then": _freshness(source),
            }
            for name, source in gallery.sources.items()
        },
        "classes": dict(zip(classes, shown, strict=True)) if shown else {},
    }


def _freshness(source: dict[str, str | None]) -> str:
    if not source["file"] or not Path(source["file"]).is_file():
        return "not here"
    return "unchanged" if file_digest(Path(source["file"])) == source["digest"] else "changed"
