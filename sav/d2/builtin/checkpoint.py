"""Checkpoints of a model and its training."""

from __future__ import annotations

from typing import Any

import torch
from fvcore.common.checkpoint import Checkpointer

from sav.d2.shared import comm
from sav.d2.shared.checkpoint import SafeCheckpoints


class DetectionCheckpointer(SafeCheckpoints, Checkpointer):
    """Saves and loads a model and what belongs to its training.

    Args:
        model: its ``state_dict`` is kept under ``model``.
        save_dir: folder of the checkpoints; empty saves nothing.
        save_to_disk: by default only the first process writes.
        checkpointables: objects with ``state_dict`` and ``load_state_dict``, by name.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        save_dir: str = "",
        *,
        save_to_disk: bool | None = None,
        **checkpointables: Any,
    ) -> None:
        save_to_disk = comm.is_main_process() if save_to_disk is None else save_to_disk
        super().__init__(model, save_dir, save_to_disk=save_to_disk, **checkpointables)
