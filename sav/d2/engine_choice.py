"""Which engine stands behind the door, and how to name it."""

from __future__ import annotations

import importlib.util
import os
from importlib import metadata

from sav import __version__
from sav.errors import SAVError

ENGINES = ("auto", "detectron2", "builtin")


def choose_engine() -> str:
    """Read ``SAV_ENGINE`` and return ``detectron2`` or ``builtin``.

    Raises:
        SAVError: on an unknown value, or when Detectron2 is asked for and not installed.
    """
    wanted = os.environ.get("SAV_ENGINE", "auto") or "auto"
    if wanted not in ENGINES:
        raise SAVError(f"SAV_ENGINE={wanted}: unknown engine; use one of {', '.join(ENGINES)}")
    installed = importlib.util.find_spec("detectron2") is not None
    if wanted == "detectron2" and not installed:
        raise SAVError(
            "SAV_ENGINE=detectron2: detectron2 is not installed; install it as "
            "docs/install.md says, or use SAV_ENGINE=builtin"
        )
    if wanted == "auto":
        return "detectron2" if installed else "builtin"
    return wanted


def describe_engine(engine: str) -> str:
    """Return the name and version of an engine for people to read."""
    if engine == "detectron2":
        return f"detectron2 {metadata.version('detectron2')}"
    return f"built-in engine (sav {__version__})"
