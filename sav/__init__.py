"""Segment Any Vehicle: named part instances of vehicles, from one photo and no clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sav.predict.predictor import SAVPredictor

__version__ = "0.1.0"
__all__ = ["SAVPredictor", "__version__"]


def __getattr__(name: str) -> Any:
    """Load the predictor, and torch with it, only when it is used."""
    if name == "SAVPredictor":
        from sav.predict.predictor import SAVPredictor  # noqa: PLC0415

        return SAVPredictor
    raise AttributeError(f"module 'sav' has no attribute '{name}'")
