"""Checkpoints: written whole or not at all, and read as data, never as code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from fvcore.common.checkpoint import Checkpointer
from safetensors import SafetensorError
from safetensors.torch import load_file

from sav.d2.builtin import comm
from sav.errors import SAVError

_UNREADABLE = (
    pickle.UnpicklingError,
    SafetensorError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
)


class SafeCheckpoints:
    """Mix-in of a fvcore checkpointer.

    - A file appears under its name only when it is complete.
    - Loading unpickles tensors, numbers and strings only; ``.safetensors`` files are read too.
    - A checkpoint with ``best`` in its name is kept apart: no run resumes from it.
    """

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``<save_dir>/<name>.pth`` and make it the one to resume from.

        Args:
            name: without extension.
            kwargs: further data to keep.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data.update({key: obj.state_dict() for key, obj in self.checkpointables.items()})
        data.update(kwargs)
        path = Path(self.save_dir) / f"{name}.pth"
        self.logger.info("Saving checkpoint to %s", path)
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as file:
            torch.save(data, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        if "best" not in name:
            self.tag_last_checkpoint(path.name)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Name the checkpoint to resume from in ``last_checkpoint``."""
        path = Path(self.save_dir) / "last_checkpoint"
        partial = path.with_name(".last_checkpoint.partial")
        partial.write_text(last_filename_basename, encoding="utf-8")
        partial.replace(path)

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load weights and, if asked, the other checkpointables; see fvcore.

        Raises:
            SAVError: when the file is missing or cannot be read.
        """
        if path and "://" not in path and not Path(path).is_file():
            raise SAVError(f"{path}: no such weights file; check MODEL.WEIGHTS")
        return super().load(path, *args, **kwargs)

    def _load_file(self, filename: str) -> dict[str, Any]:
        try:
            if filename.endswith(".safetensors"):
                loaded = load_file(filename)
            else:
                loaded = torch.load(filename, map_location="cpu", weights_only=True)
        except _UNREADABLE as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise SAVError(f"{filename}: cannot be read as a checkpoint ({reason[0]})") from error
        if not isinstance(loaded, dict):
            raise SAVError(f"{filename}: holds no state dict")
        return loaded if "model" in loaded else {"model": loaded}


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
