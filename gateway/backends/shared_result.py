"""A result that is worked out once for everybody who asks meanwhile, and kept for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedResult(Generic[T]):
    """Keeps a result, or the error instead of it, for ``seconds`` after it was there.

    It bounds what asking often can cost: at most one is worked out at a time. Whoever stops
    waiting for it does not end it for the others. To be used on one event loop.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = 0.0
        self._task: asyncio.Future[T] | None = None

    async def get(self, make: Callable[[], Awaitable[T]]) -> T:
        """The result; ``make`` is called where none is kept or under way. Raises what it raises."""
        return await asyncio.shield(self.begun(make))

    def begun(self, make: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        """The result that is kept or under way, for who goes on without it; not to be cancelled."""
        task = self._task
        if task is None or (task.done() and time.monotonic() >= self._until):
            task = self._task = asyncio.ensure_future(self._made(make))
        return task

    async def _made(self, make: Callable[[], Awaitable[T]]) -> T:
        try:
            return await make()
        finally:
            self._until = time.monotonic() + self._seconds
