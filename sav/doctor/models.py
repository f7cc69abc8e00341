"""Run folders, looked at without torch: are the files there and whole?"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sav.doctor.item import Item, absent, wrong
from sav.errors import SAVError
from sav.files import file_digest
from sav.run_folder import CONFIG_FILE, GALLERY_FOLDER, SHIPPED, WEIGHTS_FILE

_CARD = "MODEL_CARD.md"
_LICENCE = re.compile(r"^- (The weights have .*)$", re.MULTILINE)
_REINSTALL = "install SAV again"


def check_model(folder: Path, *, keys: bool = False) -> list[Item]:
    """The files of a run folder that prediction needs.

    Args:
        folder: OUTPUT_DIR of a finished training, or the shipped model.
        keys: whether to compare the config with what this version of SAV knows, for which torch is
            imported.
    """
    shipped = folder == SHIPPED
    name = "shipped model" if shipped else str(folder)
    if not folder.is_dir():
        mend = _REINSTALL if shipped else "give --model the OUTPUT_DIR of a training"
        return [wrong(name, f"no such run folder ({folder})", mend)]
    mend = _REINSTALL if shipped else "finish the training with --resume, or copy the folder again"
    items = [
        _check_weights(name, folder / WEIGHTS_FILE, mend),
        _check_config(f"{name}: config", folder / CONFIG_FILE, mend, keys=keys),
        _check_gallery(f"{name}: gallery", folder / GALLERY_FOLDER, mend),
    ]
    licence = _licence(folder / _CARD)
    return [*items, *([Item(f"{name}: licence", licence)] if licence else [])]


def _check_config(name: str, file: Path, mend: str, *, keys: bool) -> Item:
    try:
        read_config(file)
        if keys:
            # Not before it is known that torch can be imported.
            from sav.config import load_config  # noqa: PLC0415

            load_config(file)
    except SAVError as error:
        return wrong(name, " ".join(str(error).split()), mend)
    except (OSError, ValueError) as error:
        return wrong(name, f"{file}: {_reason(error)}", mend)
    return Item(name, str(file))


def read_config(file: Path) -> dict[str, Any]:
    """A config as plain data, not checked; empty where no YAML can be read.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not YAML of keys and values.
    """
    try:
        import yaml  # noqa: PLC0415
    except ImportError:  # which the packages' check says
        return {}
    try:
        config = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(config, dict):
        raise ValueError("no keys and values in it")
    return config


def _check_weights(name: str, file: Path, mend: str) -> Item:
    try:
        header = read_header(file)
    except (OSError, ValueError) as error:
        return wrong(name, f"{file}: {_reason(error)}", mend)
    trained_on = (header.get("__metadata__") or {}).get("trained_on")
    size = f"{file.stat().st_size / 2**20:.1f} MiB"
    known = f"; trained on: {trained_on}" if trained_on else ""
    return Item(name, f"{file}, {size}, sha256 {file_digest(file)}...{known}")


def _check_gallery(name: str, folder: Path, mend: str) -> Item:
    if not folder.is_dir():
        return absent(name, "none: it predicts without exemplars")
    try:
        for file in sorted(folder.glob("*.safetensors")):
            read_header(file)
        contents = json.loads((folder / "gallery.json").read_text("utf-8"))
        vehicles = len(contents["vehicle_ids"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        return wrong(name, f"{folder}: {_reason(error)}", mend)
    return Item(name, f"{folder}, {vehicles} vehicles")


def read_header(file: Path) -> dict[str, Any]:
    """The header of a safetensors file: what it holds, and that none of it is cut off.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not such a file, or not whole.
    """
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        size = file.stat().st_size
        if not 2 <= length <= size - 8:
            raise ValueError("not a safetensors file, or cut off")
        text = stream.read(length)
    try:
        header = json.loads(text)
        ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
        stated = 8 + length + max(ends, default=0)
        dict(header.get("__metadata__") or {})
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("not a safetensors file") from error
    if stated != size:
        raise ValueError("cut off: it has not the size that it states")
    return header


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _licence(card: Path) -> str:
    if not card.is_file():
        return ""
    found = _LICENCE.search(card.read_text("utf-8", errors="replace"))
    return f"{found[1]} ({card})" if found else str(card)
