"""What a gallery holds, in words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tabulate import tabulate

from sav.files import file_digest
from sav.gallery.store import Gallery


def describe_gallery(gallery: Gallery, folder: Path) -> str:
    """What is in a gallery, for people.

    Args:
        gallery: as loaded.
        folder: where from.

    Returns:
        lines of text.
    """
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    groups = Counter(photo.group for photo in gallery.photos if photo.group is not None)
    lines = [
        f"{len(gallery)} vehicles",
        f"size: {size / 2**20:.1f} MiB",
        f"search: {gallery.search_method}",
        f"groups: {len(groups)}, with {groups.total()} of the photos",
    ]
    lines += [f"{name}: {_plain(value)}" for name, value in sorted(gallery.fingerprint.items())]
    if gallery.sources:
        rows = [
            [name, source["vehicles"], source["file"], _freshness(source)]
            for name, source in gallery.sources.items()
        ]
        lines += ["", tabulate(rows, ["data set", "vehicles", "annotations", "since then"])]
    classes, exemplars = gallery.fingerprint.get("classes"), gallery.exemplars
    if classes and exemplars is not None:
        rows = list(zip(classes, exemplars.present.sum(dim=0).tolist(), strict=True))
        lines += ["", tabulate(rows, ["class", "vehicles that show it"])]
    return "\n".join(lines)


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _freshness(source: dict[str, str | None]) -> str:
    if not source["file"] or not Path(source["file"]).is_file():
        return "not here"
    return "unchanged" if file_digest(Path(source["file"])) == source["digest"] else "changed"
