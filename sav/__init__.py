"""Segment Any Vehicle: named part instances of vehicles, from one photo and no clicks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sav.inspection.report import inspect
    from sav.predict.predictor import SAVPredictor

__version__ = "0.1.0"
__all__ = ["SAVPredictor", "__version__", "inspect"]


_PLACES = {"SAVPredictor": "sav.predict.predictor", "inspect": "sav.inspection.report"}
"""Where names are that are loaded, and torch with them, only when they are used."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'sav' has no attribute '{name}'")
    return getattr(importlib.import_module(_PLACES[name]), name)
