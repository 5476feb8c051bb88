"""Searches that come while one of their kind is under way are made together, in one pass.

The pipeline ends its requests in batches, so that under load there is nearly always company; a
search that comes alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gateway.backends.library_calls import LibraryCalls
from library.library import Hit, Library
from runtime.telemetry import tracing

if TYPE_CHECKING:
    from runtime.telemetry.spans import Span

_MOST = 64  # queries in one pass, so that nobody waits long for others


@dataclass(frozen=True)
class Kind:
    """What searches have to have in common: see `Library.search`."""

    app: str
    groups: tuple[str, ...]
    users: int
    threshold: float


@dataclass(frozen=True)
class _Search:
    """queries: (q, dim) float32. answer: a list of hits for each of them.

    span: of the search, where it is traced.
    """

    queries: np.ndarray
    answer: asyncio.Future[list[list[Hit]]]
    span: Span | None


class SearchBatcher:
    """Makes the searches. For one event loop. timeout_s: of one pass."""

    def __init__(self, library: LibraryCalls, timeout_s: float) -> None:
        self._library = library
        self._timeout_s = timeout_s
        self._waiting: dict[Kind, list[_Search]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def search(self, kind: Kind, queries: np.ndarray) -> list[list[Hit]]:
        """Hits of each query, as `Library.search` gives them. Raises ApiError."""
        with tracing.span("library search", {"face.queries": len(queries)}) as span:
            return await self._enqueue(kind, queries, span)

    async def _enqueue(self, kind: Kind, queries: np.ndarray, span: Span | None) -> list[list[Hit]]:
        search = _Search(queries, asyncio.get_running_loop().create_future(), span)
        if kind in self._waiting:
            self._waiting[kind].append(search)
        else:
            self._waiting[kind] = [search]
            # Of nobody's request: it goes on with what comes meanwhile.
            task = asyncio.create_task(self._run(kind), context=Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await search.answer

    async def _run(self, kind: Kind) -> None:
        while self._waiting[kind]:
            batch = self._next(kind)
            if not batch:
                break
            for search in batch:
                if search.span is not None:
                    search.span.set({"face.searches_together": len(batch)})
            (found,) = await asyncio.gather(
                self._library.call(_work(kind, batch), self._timeout_s), return_exceptions=True
            )
            if isinstance(found, BaseException):
                for search in batch:
                    if not search.answer.done():
                        search.answer.set_exception(found)
                continue
            start = 0
            for search in batch:
                end = start + len(search.queries)
                if not search.answer.done():
                    search.answer.set_result(found[start:end])
                start = end
        del self._waiting[kind]

    def _next(self, kind: Kind) -> list[_Search]:
        """Who is next: as many as one pass takes, and one at least; nobody who has gone."""
        waiting = [search for search in self._waiting[kind] if not search.answer.done()]
        count = total = 0
        for search in waiting:
            total += len(search.queries)
            if count and total > _MOST:
                break
            count += 1
        self._waiting[kind] = waiting[count:]
        return waiting[:count]


def _work(kind: Kind, batch: Sequence[_Search]) -> Callable[[Library], list[list[Hit]]]:
    queries = np.concatenate([search.queries for search in batch])
    return lambda library: library.search(
        kind.app, queries, kind.groups, kind.users, kind.threshold
    )
