"""Reading COCO instances files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sav.errors import SAVError

_REQUIRED = {
    "images": {"id", "file_name", "width", "height"},
    "annotations": {"id", "image_id", "category_id", "segmentation"},
    "categories": {"id", "name"},
}


def read_coco(path: Path) -> dict[str, Any]:
    """Read a COCO instances file and check that it has what a converter or a loader needs.

    Raises:
        SAVError: the file is missing, broken or no COCO file.
    """
    try:
        contents = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise SAVError(f"{path}: there is no such annotation file") from error
    except (ValueError, RecursionError) as error:
        raise SAVError(f"{path}: not valid JSON: {error}") from error
    for key in _REQUIRED:
        if not isinstance(contents, dict) or not isinstance(contents.get(key), list):
            raise SAVError(f"{path}: not a COCO instances file: it has no list '{key}'")
    for key, fields in _REQUIRED.items():
        for i, entry in enumerate(contents[key]):
            missing = sorted(fields - entry.keys()) if isinstance(entry, dict) else sorted(fields)
            if missing:
                raise SAVError(f"{path}: {key}[{i}]: it has no '{missing[0]}'")
    return contents
