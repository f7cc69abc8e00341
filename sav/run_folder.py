"""The files of a run folder, and who may write them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sav.errors import SAVError
from sav.files import check_folder

if sys.platform != "win32":
    import fcntl

CONFIG_FILE = "config.yaml"
WEIGHTS_FILE = "model_final.safetensors"
GALLERY_FOLDER = "gallery"
RESULTS_FILE = "results.json"

SHIPPED = Path(__file__).parent / "pretrained"
"""The run folder that comes with the package: made on synthetic vehicles, see docs/training.md."""

_OF_A_TRAINING = ("model_final.*", "model_*.pth", "last_checkpoint", "metrics.json")
_LOCK_FILE = ".lock"


def check_unused(folder: Path) -> None:
    """Refuse a folder that holds a training already.

    Raises:
        SAVError: names the file that says so.
    """
    for pattern in _OF_A_TRAINING:
        for found in folder.glob(pattern):
            raise SAVError(
                f"{found}: OUTPUT_DIR holds a training already; go on with it by --resume, or "
                "choose another OUTPUT_DIR"
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a run folder, and keep other processes from writing to it in the meantime.

    Raises:
        SAVError: another process has it, or it cannot be written to.
    """
    check_folder(folder)
    if not str(folder).isprintable():
        raise SAVError(f"{folder}: OUTPUT_DIR is kept in files as text; choose a name that is text")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_FILE).open("w") as file:
        # Record locks, unlike what libraries for locks use, are not shared with forks: loader
        # workers outlive a killed run by seconds.
        if sys.platform != "win32":
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                raise SAVError(
                    f"{folder}: another training or evaluation is writing to this OUTPUT_DIR; wait "
                    "for it, or choose another"
                ) from error
        yield
