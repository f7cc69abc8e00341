"""The whole diagnosis, as text and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sav.doctor.data import check_data
from sav.doctor.engine import check_engine
from sav.doctor.imports import try_imports
from sav.doctor.item import Item, Status
from sav.doctor.machine import check_compute, check_disks, check_system
from sav.doctor.models import check_model
from sav.doctor.packages import check_extras, check_packages
from sav.run_folder import SHIPPED

FORMAT = "sav-doctor"

Report = dict[str, list[Item]]
"""Items by section."""


def diagnose(models: Sequence[Path] = ()) -> Report:
    """Look at everything; takes as long as importing torch.

    Args:
        models: run folders to check beside the shipped model.
    """
    outcomes = try_imports()
    folders = list(dict.fromkeys((SHIPPED, *models)))
    keys = outcomes["sav"].works
    return {
        "system": check_system(),
        "packages": check_packages(outcomes),
        "engine": check_engine(outcomes),
        "compute": check_compute(outcomes),
        "models": [item for folder in folders for item in check_model(folder, keys=keys)],
        "data": check_data(models),
        "optional": check_extras(),
        "disk": check_disks(),
    }


def problems(report: Report) -> list[Item]:
    """What must be mended before SAV works."""
    return [item for items in report.values() for item in items if item.status is Status.WRONG]


def format_text(report: Report) -> str:
    """For people: sections, then "ready", or what is wrong and how to mend it."""
    blocks = [_section(name, items) for name, items in report.items() if items]
    found = problems(report)
    if not found:
        return "\n".join([*blocks, "ready"]) + "\n"
    lines = [f"  {item.name}: {item.value}\n    to mend it: {item.mend}" for item in found]
    return "\n".join([*blocks, "not ready:", *lines]) + "\n"


def _section(name: str, items: Sequence[Item]) -> str:
    width = min(24, max(len(item.name) for item in items))
    lines = [f"  {item.name:<{width}}  {item.value}{_mark(item)}" for item in items]
    return "\n".join([name, *lines, ""])


def _mark(item: Item) -> str:
    if item.status is Status.WRONG:
        return "  <- WRONG"
    return f"  ({item.mend})" if item.mend else ""


def to_dict(report: Report) -> dict[str, Any]:
    """For programs: ``{"ready", SECTION: {NAME: {"value", "status", "mend"}}}``."""
    sections = {
        section: {
            item.name: {"value": item.value, "status": item.status, "mend": item.mend}
            for item in items
        }
        for section, items in report.items()
    }
    return {"ready": not problems(report), **sections}
