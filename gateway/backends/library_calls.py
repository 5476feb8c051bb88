"""The face library for the event loop: its calls on threads, its faults as the API's errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import TypeVar

from gateway.errors import ApiError, ErrorCode, of_library
from inference.scores import Recogniser
from library.errors import LibraryError, NotFoundError
from library.library import Library
from library.records import IndexPlace, Statistics
from runtime.telemetry import tracing
from settings.library import LibraryConfig

LOG = logging.getLogger("gateway")

T = TypeVar("T")


@dataclass(frozen=True)
class LibraryFigures:
    """The library in numbers.

    apps: each of them. indexes: how far the index of each is. backup: when the newest backup was
    written, in seconds since 1970; 0.0 for never.
    """

    apps: Sequence[Statistics]
    indexes: Mapping[str, IndexPlace]
    backup: float


# Between two attempts to open a library whose database is away.
_RETRY_S = 1.0
_PING_S = 2.0


class LibraryCalls:
    """The library, opened in the background and tried again while its database is away."""

    def __init__(self, config: LibraryConfig, recogniser: Recogniser, threads: int) -> None:
        self.recogniser = recogniser
        self._config = config
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="library")
        self._library: Library | None = None
        self._opening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the library; returns at the first success or failure, and goes on trying."""
        tried = asyncio.Event()
        self._opening = asyncio.create_task(self._open(tried))
        await tried.wait()

    async def _open(self, tried: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        said = ""
        while True:
            try:
                self._library = await loop.run_in_executor(self._pool, self._make)
                if said:
                    LOG.warning("the library is there")
                return
            except LibraryError as error:
                if error.message != said:
                    said = error.message
                    LOG.error("the library cannot be opened: %s", said)
            finally:
                tried.set()
            await asyncio.sleep(_RETRY_S)

    def _make(self) -> Library:
        return Library(self._config, self.recogniser)

    async def close(self) -> None:
        """Write snapshots and let go of the database; calls under way are waited for."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        await asyncio.get_running_loop().run_in_executor(self._pool, self._close)
        self._pool.shutdown()

    def _close(self) -> None:
        if self._library is not None:
            self._library.close()

    async def call(
        self,
        work: Callable[[Library], T],
        timeout: float | None = None,
        late: Callable[[ApiError | None], None] | None = None,
        name: str = "",
    ) -> T:
        """What `work` returns for the library, done on a thread.

        timeout: seconds after which it is no longer waited for; it may still be done then.
        late: called on the thread when that has ended, with the error or None; not where it
        was never begun. name: of the work, in traces.
        Raises ApiError: DATABASE while the database or the index cannot answer, or not in time;
        else the API's error for what the library says.
        """
        library = self._library
        if library is None:
            raise ApiError(ErrorCode.DATABASE, "database_unavailable")
        try:
            with tracing.span("library call", {"code.function.name": name}):
                # In the request's context, so that lines of the log name it.
                doing = self._pool.submit(copy_context().run, work, library)
                return await asyncio.wait_for(asyncio.wrap_future(doing), timeout)
        except asyncio.CancelledError:
            _tell_late(doing, late)
            raise
        except TimeoutError:
            _tell_late(doing, late)
            raise ApiError(ErrorCode.DATABASE, "not answered in time") from None
        except LibraryError as error:
            raise of_library(error) from None

    async def ping(self) -> None:
        """Raises ApiError DATABASE unless the database, and the index of every app, answers."""
        await self.call(Library.check, _PING_S)

    async def figures(self) -> LibraryFigures:
        """The library in numbers. Raises ApiError."""
        return await self.call(figures)


def _tell_late(doing: Future[T], late: Callable[[ApiError | None], None] | None) -> None:
    """Have `late` called when something that is not waited for any more has ended."""

    def tell(done: Future[T]) -> None:
        if late is None or done.cancelled():
            return
        fault = done.exception()
        if fault is None or isinstance(fault, LibraryError):
            late(None if fault is None else of_library(fault))
        else:
            LOG.error("a change that was given up has failed", exc_info=fault)
            late(ApiError(ErrorCode.UNKNOWN))

    doing.add_done_callback(tell)


def figures(library: Library) -> LibraryFigures:
    """The library in numbers."""
    backups = (one.created.timestamp() for one in library.store.backups())
    return LibraryFigures(statistics(library), library.index_places(), max(backups, default=0.0))


def statistics(library: Library) -> list[Statistics]:
    """Every app in numbers; those that vanish meanwhile are left out."""
    found = []
    for app in library.store.apps():
        try:
            found.append(library.store.statistics(app))
        except NotFoundError:
            continue
    return found


def groups_of(library: Library, app: str, user: str, groups: Sequence[str]) -> list[str]:
    """Those of `groups` that have the user, in their order. Raises NotFoundError for a group."""
    library.store.resolve_groups(app, groups)
    try:
        having = {one.group for one in library.store.user(app, user)}
    except NotFoundError:
        return []
    return [group for group in groups if group in having]
