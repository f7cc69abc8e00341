"""Weights fit by name and shape, or an error says which do not."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sav.errors import SAVError

_NAMED = 3


def check_keys(
    own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], file: str, reader: str
) -> None:
    """Refuse weights that do not fit key by key.

    Args:
        own: what the model has; the tensors may be without memory (meta).
        state: what was read.
        file: where from, for the error.
        reader: what for, for the error.

    Raises:
        SAVError: names the first keys that are missing, unknown or of another shape.
    """
    wrong = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape": [n for n in own if n in state and own[n].shape != state[n].shape],
    }
    for what, names in wrong.items():
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            shown = ", ".join(names[:_NAMED]) + more
            raise SAVError(f"{file}: weights {what} for {reader}: {shown}")
