"""Which packages are installed, and how to get the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from sav.doctor.imports import Outcome
from sav.doctor.item import Item, absent, wrong

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "segment-any-vehicle"

_STEPS = {"opencv-python-headless": "opencv", "faiss-cpu": "faiss"}
"""Steps of the probe, where they are not called like the package."""

_IN_PLACE_OF = {
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python-headless"),
    "faiss-cpu": ("faiss-gpu", "faiss-gpu-cu12"),
}
"""Packages that give the same module."""

_HIDDEN = frozenset({"dev"})
"""Extras of those who work on SAV itself."""


def check_packages(outcomes: dict[str, Outcome]) -> list[Item]:
    """What SAV needs: installed, of a version that it takes, and importable.

    Args:
        outcomes: of the probe.
    """
    try:
        needed = [need for need in _requirements() if need.marker is None]
    except metadata.PackageNotFoundError:
        how = "'pip install .' in its folder brings all that it needs"
        return [
            absent(DISTRIBUTION, "not installed, SAV runs from a folder", how),
            *_tried(outcomes),
        ]
    except ModuleNotFoundError:
        return [wrong("packaging", "not installed", "pip install packaging"), *_tried(outcomes)]
    return [_check(need, outcomes) for need in needed]


def _tried(outcomes: dict[str, Outcome]) -> list[Item]:
    """Packages of which only the probe tells anything."""
    packages = {step: step for step in outcomes if step not in ("engine", "sav")}
    packages |= {step: package for package, step in _STEPS.items()}
    return [_check_import(package, outcomes[step]) for step, package in packages.items()]


def _check_import(package: str, outcome: Outcome) -> Item:
    if outcome.works:
        return Item(package, "can be imported")
    if outcome.because_of:
        return Item(package, f"not tried: it needs {outcome.because_of}")
    return wrong(package, outcome.error, f"pip install {package}")


def check_extras() -> list[Item]:
    """What is optional, by extra; nothing where :func:`check_packages` cannot tell either."""
    try:
        about, requirements = metadata.metadata(DISTRIBUTION), list(_requirements())
    except (ModuleNotFoundError, metadata.PackageNotFoundError):
        return []
    extras = [name for name in about.get_all("Provides-Extra") or () if name not in _HIDDEN]
    items = [_check_extra(extra, requirements) for extra in extras]
    return [*items, _check_detectron2()]


def _requirements() -> Iterator[Requirement]:
    """What the package says that it needs, extras included.

    Raises:
        ModuleNotFoundError: 'packaging' is missing.
        PackageNotFoundError: SAV runs from a folder and is not installed.
    """
    from packaging.requirements import Requirement  # noqa: PLC0415

    yield from map(Requirement, metadata.requires(DISTRIBUTION) or ())


def _check(need: Requirement, outcomes: dict[str, Outcome]) -> Item:
    version = _version(need.name)
    if version is None:
        others = _IN_PLACE_OF.get(need.name, ())
        other = next((f"{name} {_version(name)}" for name in others if _version(name)), None)
        if other is None:
            return wrong(need.name, "not installed", _command([need]))
        version = f"{other} in its place"
    elif not _fits(need, version):
        return wrong(need.name, f"{version}, SAV needs {need.specifier}", _command([need]))
    outcome = outcomes.get(_STEPS.get(need.name, need.name))
    if outcome is None or outcome.works:
        return Item(need.name, version)
    if outcome.because_of:
        return Item(need.name, f"{version}, not tried: it needs {outcome.because_of}")
    again = f"pip install --force-reinstall --no-deps '{need.name}=={version}'"
    return wrong(need.name, f"{version} cannot be imported: {outcome.error}", again)


def _check_extra(extra: str, requirements: Iterable[Requirement]) -> Item:
    needed = [
        need
        for need in requirements
        if need.marker is not None and need.marker.evaluate({"extra": extra})
    ]
    missing = [need for need in needed if not _fits(need, _version(need.name))]
    if missing:
        return absent(extra, "not installed", _command(missing))
    return Item(extra, ", ".join(f"{need.name} {_version(need.name)}" for need in needed))


def _check_detectron2() -> Item:
    version = _version("detectron2")
    if version is None:
        return absent("detectron2", "not installed; the built-in one does", "see docs/install.md")
    return Item("detectron2", version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fits(need: Requirement, version: str | None) -> bool:
    return version is not None and need.specifier.contains(version, prereleases=True)


def _command(needs: Iterable[Requirement]) -> str:
    words = [f"{need.name}{need.specifier}" for need in needs]
    return "pip install " + " ".join(f"'{w}'" if set(w) & set("<>!~") else w for w in words)
