"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sav.errors import SAVError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary file name to write to, and rename it when the block ends well.

    The temporary file lies in the same folder and keeps the suffix, by which image and video
    writers choose their format; its name begins with a dot. It is removed when the block raises.

    Args:
        path: the file to write; its folder is made.

    Raises:
        SAVError: the file or its folder cannot be written.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.stem}-{os.getpid()}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise SAVError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        # Where the folder cannot be made, there is nothing to remove either.
        with suppress(OSError):
            temporary.unlink()


def write_atomic(path: str | Path, content: str | bytes) -> None:
    """Write a whole file, text as UTF-8.

    Raises:
        SAVError: see :func:`atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def file_digest(path: Path) -> str:
    """Sixteen hexadecimal digits that change when the file's contents do."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
