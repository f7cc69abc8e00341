"""The one thread that predicts, and the places of those who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from sav.serve.limits import RequestError

_T = TypeVar("_T")
_RETRY_SECONDS = 2


class Worker:
    """Does one job after the other, in the order in which they come.

    Its methods are called from one event loop.

    Args:
        places: how many requests may be here at one time. It bounds the memory, because a request
            takes its place before its photo is read.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")

    @property
    def taken(self) -> int:
        """Requests that are here now."""
        return self._taken

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place while the block runs.

        Raises:
            RequestError: 503, there is none.
        """
        if self._taken >= self._places:
            message = f"{self._taken} requests wait already; ask again later"
            raise RequestError(503, message, _RETRY_SECONDS)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def run(self, job: Callable[[], _T]) -> _T:
        """Wait for a job's turn and its result.

        When the caller is cancelled, a job that has not begun is dropped; one that has goes on, and
        its result is dropped.
        """
        return await asyncio.wrap_future(self._thread.submit(job))

    def close(self) -> None:
        """Drop the jobs that have not begun."""
        self._thread.shutdown(wait=False, cancel_futures=True)
