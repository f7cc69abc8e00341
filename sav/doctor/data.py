"""Which data sets are there to train and to evaluate on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sav.doctor.item import Item, absent, wrong
from sav.doctor.models import read_config
from sav.run_folder import CONFIG_FILE

_PATTERNS = ("*/instances_*.json", "*/*/instances_*.json")
"""Where 'sav prepare' puts annotation files; photos lie no higher."""


def check_data(models: Sequence[Path]) -> list[Item]:
    """The part annotation files under the data folder, and those that models were trained on.

    Args:
        models: run folders, whose configs name data sets.
    """
    folder = Path(os.environ.get("SAV_DATASETS") or "datasets")
    registered = {file: name for model in models for file, name in _registered(model, folder)}
    files = sorted(file for pattern in _PATTERNS for file in folder.glob(pattern))
    names = {file.resolve(): str(file.relative_to(folder)) for file in files}
    names |= {file: name for file, name in registered.items() if file.is_file()}
    missing = [name for file, name in registered.items() if file not in names]
    items = [_check_folder(folder), *(Item(name, _size(file)) for file, name in names.items())]
    if missing:
        what = f"{len(missing)} data sets that the models name: {', '.join(missing)}"
        items.append(absent("not here", what))
    return items


def _check_folder(folder: Path) -> Item:
    named = bool(os.environ.get("SAV_DATASETS"))
    if folder.is_dir():
        source = "SAV_DATASETS" if named else "the default of DATASETS.ROOT"
        return Item("folder", f"{folder.absolute()} ({source})")
    if named:
        mend = "set SAV_DATASETS to the folder of your data sets, or to nothing"
        return wrong("folder", f"{folder}: no such folder", mend)
    how = "needed to train; 'sav synth' and 'sav prepare' make data sets, or set SAV_DATASETS"
    return absent("folder", f"{folder.absolute()} is not there", how)


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 2**20:.1f} MiB"


def _registered(model: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """Files and names of the data sets in the config of a run folder."""
    try:
        data = read_config(model / CONFIG_FILE)["DATASETS"]
        root = Path(data.get("ROOT", folder))
        for name, file in data["PARTS"].items():
            yield (root / file).resolve(), name
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return  # what is wrong with the config, the model's check says
