"""Calls of gRPC that wait for their message, or for the client to take their answer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from ops.errors import ErrorKind, ServiceError

# A call that has waited for less may be about to get its message.
_YOUNG_S = 1.0


@dataclass(eq=False)
class Call:
    """A call. peer: its connection. since: of time.monotonic. ending: what ends it early."""

    context: Any
    peer: str
    since: float
    ending: asyncio.Task[BaseException] | None = None

    def end(self, error: ServiceError) -> None:
        """End it while it waits for its message.

        Nothing that is under way is cancelled, gRPC's own code would go on writing into it:
        the status is sent, which ends the wait, and then the call.
        """
        self.ending = asyncio.ensure_future(aborted(self.context, error))


class Calls:
    """The calls of one server. For the event loop.

    waiting: for their message, oldest first. leaving: answered or refused, and not yet out.
    here: how many calls each connection has. delivered: bytes of the messages that came over
    the connections in it; whoever puts a connection in takes it out again.
    """

    def __init__(self) -> None:
        self.waiting: dict[Call, None] = {}
        self.leaving: dict[Call, None] = {}
        self.here: Counter[str] = Counter()
        self.delivered: dict[str, int] = {}

    def enter(self, context: Any) -> Call:
        """A call has come; in its handler."""
        call = Call(context, context.peer(), time.monotonic())
        self.here[call.peer] += 1
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is entered by its handler")
        # Done when the answer is out. The context's own callbacks would hold the context, which
        # holds them, and so the call: see `aborted`.
        task.add_done_callback(partial(self._gone, call))
        return call

    def leave(self, call: Call) -> None:
        """It has its answer, which the client has to take now."""
        call.since = time.monotonic()
        self.leaving[call] = None

    async def message(self, call: Call, most: int) -> Any:
        """A call's message, bytes; or gRPC's EOF.

        For a call that was ended while it waited: what its handler has to raise.

        most: calls that may wait. Raises ServiceError(BUSY) where there is no room.
        """
        if len(self.waiting) >= most:
            self._make_room(call)
        self.waiting[call] = None
        try:
            data = await call.context.read()
        finally:
            self.waiting.pop(call, None)
        if call.ending is not None:
            return await call.ending
        if call.peer in self.delivered and data is not grpc.aio.EOF:
            self.delivered[call.peer] += len(data)
        return data

    def _make_room(self, newcomer: Call) -> None:
        """The connection with the most waiting calls gives a place: the one that waits longest.

        Where that is the newcomer's own, it takes only a place that has been waited in for long:
        a burst of calls must not push out those whose messages are just arriving.
        """
        counts = Counter(call.peer for call in self.waiting)
        counts[newcomer.peer] += 1
        most = max(counts.values())
        oldest = next((c for c in self.waiting if counts[c.peer] == most), None)
        if oldest is None:
            raise ServiceError(ErrorKind.BUSY)
        is_own = counts[newcomer.peer] == most
        if is_own and most > 1 and time.monotonic() - oldest.since < _YOUNG_S:
            raise ServiceError(ErrorKind.BUSY)
        del self.waiting[oldest]
        self.leave(oldest)
        oldest.end(ServiceError(ErrorKind.BUSY, "The message had not arrived."))

    def _gone(self, call: Call, _: Any) -> None:
        self.leaving.pop(call, None)
        self.here[call.peer] -= 1
        if not self.here[call.peer]:
            del self.here[call.peer]
        call.context = call.ending = None


async def aborted(context: Any, error: ServiceError, status: str = "") -> BaseException:
    """Answer with a status, by default that of the error's kind; what the handler has to raise.

    gRPC keeps that exception with the call, and the exception's traceback would keep the call:
    until Python's collector has found the circle the call counts as one of its connection's, of
    which there may be so many. So it has no traceback, and whoever raises it holds no call.
    """
    code = grpc.StatusCode[status or error.kind.grpc_status or "INTERNAL"]
    try:
        await context.abort(code, f"{error.code} {error.message}")
    except (grpc.aio.AbortError, grpc.aio.UsageError, grpc.aio.InternalError) as raised:
        raised.__context__ = None  # the error that was met before, which has a traceback
        return raised.with_traceback(None)  # also where the client has gone already
    raise AssertionError("an abort returned")
