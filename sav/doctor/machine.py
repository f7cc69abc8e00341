"""The machine: Python, processor, GPU, precision, threads, disks."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from sav import __version__
from sav.doctor.imports import Outcome
from sav.doctor.item import Item, absent, wrong

_GIB = 2**30
_LEAST_DISK = 1.0
_LEAST_PYTHON = (3, 11)


def check_system() -> list[Item]:
    """Versions, and where they are."""
    python = f"{platform.python_version()} ({sys.executable})"
    needed = ".".join(map(str, _LEAST_PYTHON))
    old = sys.version_info < _LEAST_PYTHON
    return [
        Item("sav", f"{__version__} ({Path(__file__).parents[1]})"),
        wrong("python", python, f"use Python {needed} or later") if old else Item("python", python),
        Item("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
    ]


def check_compute(outcomes: dict[str, Outcome]) -> list[Item]:
    """Where models run, and in which precision; nothing where torch does not work.

    Args:
        outcomes: of the probe.
    """
    torch, sav = outcomes["torch"], outcomes["sav"]
    if not torch.works:
        return []
    items = [
        *_gpus(torch.value),
        Item("instruction set", torch.value["instructions"]),
        Item("processors", _processors()),
        Item("threads", torch.value["threads"]),
    ]
    if sav.works:
        half = sav.value["bf16"]
        precision = "auto is bf16" if half else "auto is float32: no fast bf16 here"
        items += [Item("device", sav.value["device"]), Item("precision", precision)]
    return items


def _gpus(torch: dict) -> list[Item]:
    gpus = [Item(f"gpu {i}", _gpu(gpu)) for i, gpu in enumerate(torch["gpus"])]
    if gpus:
        return [*gpus, Item("cuda", torch["cuda"] or "none: ROCm")]
    if torch["mps"]:
        return [Item("gpu", "Apple's; say --device mps")]
    if shutil.which("nvidia-smi") is None:
        return [absent("gpu", "none")]
    built = f"its CUDA is {torch['cuda']}" if torch["cuda"] else "it is built without CUDA"
    mend = "install the torch that fits the driver, which 'nvidia-smi' names"
    return [absent("gpu", f"a driver is here, but torch finds no GPU: {built}", mend)]


def _gpu(gpu: dict) -> str:
    return f"{gpu['name']}, {gpu['bytes'] / _GIB:.0f} GiB"


def _processors() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_disks() -> list[Item]:
    """Free space where results and temporary files go."""
    folders = {"this folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    return [_check_disk(name, folder) for name, folder in folders.items()]


def _check_disk(name: str, folder: Path) -> Item:
    free = shutil.disk_usage(folder).free / _GIB
    value = f"{free:.1f} GiB free ({folder})"
    if free < _LEAST_DISK:
        return wrong(name, value, f"make room: {_LEAST_DISK:g} GiB at least")
    return Item(name, value)
