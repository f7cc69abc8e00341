"""Data: converters, registration, augmentation and the mapper.

Names are loaded when they are first used: the converters, which start worker processes, then do not
pay for importing PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "FitCanvas": "augmentation",
    "MixtureSampler": "mixture",
    "PartDatasetMapper": "mapper",
    "RandomAffine": "augmentation",
    "RandomColor": "augmentation",
    "is_mirrored": "augmentation",
    "load_instance_masks": "annotations",
    "part_map_from_annotations": "annotations",
    "read_rgb": "images",
    "register_part_datasets": "registration",
    "resize_long_side": "images",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from the module that has it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
