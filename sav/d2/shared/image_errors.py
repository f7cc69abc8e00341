"""What may go wrong with an image file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from sav.errors import SAVError


@contextmanager
def reading(file_name: str | Path) -> Iterator[None]:
    """Turn what may go wrong with an image file into a ``SAVError``."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise SAVError(f"{file_name}: the image is too large to be safe; shrink it") from error
    except FileNotFoundError as error:
        raise SAVError(f"{file_name}: no such image") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise SAVError(f"{file_name}: cannot be read as an image ({error})") from error
