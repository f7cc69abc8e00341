"""What a server takes, and how it refuses the rest."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20
MEGAPIXEL = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What one request may take.

    Attributes:
        max_bytes: of a photo's file.
        max_pixels: of a photo, width times height. Each part that is found takes a byte a pixel
            while its request is answered.
        places: requests that are read, wait, or are answered at one time.
        seconds: from the first byte of a request to its answer.
    """

    max_bytes: int = 20 * MIB
    max_pixels: int = 25 * MEGAPIXEL
    places: int = 16
    seconds: float = 60.0


class RequestError(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        message: one line: what is wrong and what to do.
        retry_after: seconds after which the same request may succeed; None: it will not.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


def in_words(max_bytes: int) -> str:
    """A number of bytes as people say it."""
    return f"{max_bytes / MIB:.1f} MiB" if max_bytes >= MIB else f"{max_bytes} bytes"
