"""Checkpoints: written whole or not at all, and read as data, never as code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from fvcore.common.checkpoint import Checkpointer

from sav.d2.shared import comm
from sav.errors import SAVError
from sav.files import atomic_path, write_atomic

_UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError)


class UnreadableCheckpointError(SAVError):
    """A checkpoint is missing or broken; nothing has been loaded from it."""


class DetectionCheckpointer(Checkpointer):
    """Saves and loads a model and what belongs to its training.

    - A file appears under its name only when it is complete.
    - A run goes on from its last checkpoint that can be read.
    - Loading unpickles tensors, numbers and strings only.

    Args:
        model: its ``state_dict`` is kept under ``model``.
        save_dir: folder of the checkpoints; empty saves nothing. Only the first process writes.
        checkpointables: objects with ``state_dict`` and ``load_state_dict``, by name.
    """

    def __init__(self, model: torch.nn.Module, save_dir: str = "", **checkpointables: Any) -> None:
        super().__init__(model, save_dir, save_to_disk=comm.is_main_process(), **checkpointables)

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``<save_dir>/<name>.pth`` and make it the one to resume from.

        Args:
            name: without extension.
            kwargs: further data to keep.

        Raises:
            SAVError: when it cannot be written; the checkpoints before stay as they are.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data.update({key: obj.state_dict() for key, obj in self.checkpointables.items()})
        data.update(kwargs)
        path = Path(self.save_dir) / f"{name}.pth"
        self.logger.info("Saving checkpoint to %s", path)
        try:
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                torch.save(data, file)
                file.flush()
                os.fsync(file.fileno())
            self.tag_last_checkpoint(path.name)
        except (OSError, RuntimeError, SAVError) as error:
            if isinstance(error.__context__, SystemExit):
                raise error.__context__ from None  # a signal that torch took for a broken file
            raise SAVError(
                f"{path}: the checkpoint cannot be written ({_first_line(error)}); the one before "
                "is intact: make room and go on with --resume"
            ) from error

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Name the checkpoint to resume from in ``last_checkpoint``."""
        write_atomic(Path(self.save_dir) / "last_checkpoint", last_filename_basename)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """Go on from the last checkpoint that can be read, or load weights.

        Args:
            path: weights to load when there is nothing to resume from, or empty.
            resume: False never resumes.

        Raises:
            SAVError: when there are checkpoints and none can be read.
        """
        if not resume or not self.has_checkpoint():
            return self.load(path, checkpointables=[])
        candidates = self._newest_first()
        for candidate in candidates:
            try:
                return self.load(str(candidate))
            except UnreadableCheckpointError as error:
                self.logger.warning("%s; trying the one before it", error)
        raise SAVError(
            f"{self.save_dir}: none of {len(candidates)} checkpoints can be read; start again "
            "without --resume"
        )

    def _newest_first(self) -> list[Path]:
        """The tagged checkpoint, then the others from the last iteration to the first."""
        tagged = Path(self.get_checkpoint_file())
        numbered = sorted(Path(self.save_dir).glob("model_[0-9]*.pth"), reverse=True)
        return [tagged, *(path for path in numbered if path.name != tagged.name)]

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """Load weights and the other checkpointables; see fvcore.

        Raises:
            SAVError: when the file is missing or cannot be read.
        """
        if path and not Path(path).is_file():
            raise UnreadableCheckpointError(f"{path}: no such weights file; check MODEL.WEIGHTS")
        return super().load(path, checkpointables)

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        """Load weights that fit key by key, and no others.

        Raises:
            SAVError: names the first weight that does not fit.
        """
        expected, found = self.model.state_dict(), checkpoint["model"]
        for name in sorted(expected.keys() | found.keys()):
            if name in expected and name in found and expected[name].shape == found[name].shape:
                continue
            raise SAVError(
                f"{self.save_dir}: the checkpoint is of another config or of another version of "
                f"SAV: its weights do not fit at '{name}'; train anew, in another OUTPUT_DIR"
            )
        return super()._load_model(checkpoint)

    def _load_file(self, f: str) -> dict[str, Any]:
        try:
            loaded = torch.load(f, map_location="cpu", weights_only=True)
        except _UNREADABLE as error:
            reason = _first_line(error)
            raise UnreadableCheckpointError(
                f"{f}: cannot be read as a checkpoint ({reason})"
            ) from error
        if not isinstance(loaded, dict) or "model" not in loaded:
            raise UnreadableCheckpointError(f"{f}: holds no model")
        return loaded


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
