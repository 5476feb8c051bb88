"""Work that would hold up the event loop: on a thread, one piece after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from web.uploads import Body

T = TypeVar("T")
# Above these bytes a body is parsed on a thread, so that other requests do not wait for it.
_SMALL = 512 * 1024


class Turns:
    """For one event loop. While a piece is worked on, those that wait take no memory of theirs."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="bodies")
        self._turn: asyncio.Lock | None = None

    async def parse(self, parse: Callable[[Body], T], body: Body, seconds: float) -> T:
        """What `parse` makes of a body: at once of a small one, in its turn of a large one.

        Raises as `run`.
        """
        if len(body) <= _SMALL:
            return parse(body)
        return await self.run(parse, body, seconds=seconds)

    async def run(self, work: Callable[..., T], *arguments: object, seconds: float) -> T:
        """What `work` returns. Raises what it raises, and asyncio.TimeoutError after `seconds`.

        What has been begun is not broken off, and nothing else is begun before its end.
        """
        return await asyncio.wait_for(self._run(work, arguments), seconds)

    async def _run(self, work: Callable[..., T], arguments: tuple[object, ...]) -> T:
        # In Python 3.9 a lock belongs to the loop that runs where it is made.
        turn = self._turn = self._turn or asyncio.Lock()
        await turn.acquire()
        try:
            doing = asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        except BaseException:
            turn.release()
            raise
        doing.add_done_callback(lambda _: turn.release())
        return await asyncio.shield(doing)
