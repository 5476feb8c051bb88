"""Work that would hold up the event loop: on a thread, one piece after the other."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, TypeVar

T = TypeVar("T")


class Turns:
    """For one event loop. While a piece is worked on, those that wait take no memory of theirs."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="bodies")
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[..., T], *arguments: object, seconds: float) -> T:
        """What `work` returns. Raises what it raises, and asyncio.TimeoutError after `seconds`.

        What has been begun is not broken off, and nothing else is begun before its end.
        """
        return await asyncio.wait_for(self._run(work, arguments), seconds)

    async def _run(self, work: Callable[..., T], arguments: tuple[object, ...]) -> T:
        await self._turn.acquire()
        try:
            doing = asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        except BaseException:
            self._turn.release()
            raise
        doing.add_done_callback(lambda _: self._turn.release())
        return await asyncio.shield(doing)
