"""Costly pictures are decoded beside the stages, where they hold up nobody and can be ended."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ops.errors import ErrorKind, ServiceError, without_frames
from ops.pictures.decoder import Decoder, GaveUpError
from ops.pictures.decoder_process import memory_for
from ops.pictures.headers.header import PictureHeader
from ops.pictures.picture import pixels_of
from ops.request_state import Picture, RequestState

_LOGGER = logging.getLogger(__name__)
Decode = Callable[[bytes, PictureHeader, int], np.ndarray]
# A picture that takes longer at most, on one core, goes to a process of its own. Threads of the
# pipeline can do nothing else meanwhile; shorter work is not worth the way there and back.
COSTLY_S = 0.4
_IDLE_S = 60.0  # after which a process without work is ended


def is_costly(picture: Picture) -> bool:
    """Whether a picture that waits to be decoded takes long, or is not to be decoded here."""
    header = picture.header
    return header is not None and (header.apart or header.seconds > COSTLY_S)


def decode(picture: Picture, pixels_of: Decode = pixels_of) -> None:
    """Decode a picture that waits for it, in this thread by default; one that fails has its error.

    What else `pixels_of` raises is not caught.
    """
    data, header, picture.data, picture.header = picture.data, picture.header, None, None
    if data is None or header is None:
        return
    try:
        picture.pixels = pixels_of(data, header, picture.scale)
    except ServiceError as error:
        picture.error = without_frames(error)


@dataclass(eq=False)
class _Member:
    """A decoder, its thread and what it is given to do."""

    decoder: Decoder
    work: queue.SimpleQueue[RequestState]


class DecoderPool:
    """A few processes, and the requests with costly pictures that wait for one.

    A request has one process for all its costly pictures, one after the other. The cheapest of
    those that wait comes next: whoever sends the largest pictures waits longest.
    """

    def __init__(self, count: int, waiting: int, max_pixels: int, wake: Callable[[], None]) -> None:
        """count: processes. waiting: requests that may wait for one; more are refused.

        max_pixels: of one picture. wake: called when a request can go on.
        """
        self._count = count
        self._most_waiting = waiting
        self._max_pixels = max_pixels
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: dict[RequestState, float] = {}
        self._claimed: dict[RequestState, _Member] = {}
        self._idle: list[_Member] = []
        self._made = 0

    @property
    def requests(self) -> int:
        """Requests that wait for a process or have one."""
        return len(self._waiting) + self._made - len(self._idle)

    def join(self, request: RequestState) -> None:
        """Let a request wait for a process. Raises ServiceError(BUSY) where too many do."""
        with self._lock:
            if len(self._waiting) >= self._most_waiting:
                raise ServiceError(ErrorKind.BUSY, "Too many pictures that take long are waiting.")
            costs = (p.header.seconds for p in request.pictures if p.header and is_costly(p))
            self._waiting[request] = sum(costs)

    def is_next(self, request: RequestState) -> bool:
        """Whether a request that waits would get a process now."""
        if not self._idle and self._made >= self._count:
            return False
        waiting = [(cost, other) for other, cost in list(self._waiting.items()) if other.live]
        return not waiting or min(waiting, key=lambda pair: pair[0])[1] is request

    def claim(self, request: RequestState) -> bool:
        """Get a process for a request that waits, if it is the next one; it keeps it."""
        with self._lock:
            if request in self._claimed:
                return True
            if not self.is_next(request):
                return False
            self._waiting.pop(request, None)
            self._claimed[request] = self._idle.pop() if self._idle else self._make()
            return True

    def has_claimed(self, request: RequestState) -> bool:
        """Whether a request has a process that it has given no work yet."""
        return request in self._claimed

    def start(self, request: RequestState) -> None:
        """Have a request's costly pictures decoded by the process that it has claimed.

        `request.decoding` is set until they are.
        """
        with self._lock:
            member = self._claimed.pop(request)
        request.decoding = True
        member.work.put(request)

    def forget(self, request: RequestState) -> None:
        """Let a request that was given up leave; what is being decoded is ended by its thread."""
        with self._lock:
            self._waiting.pop(request, None)
            member = self._claimed.pop(request, None)
            if member is not None:
                self._idle.append(member)

    def _make(self) -> _Member:
        self._made += 1
        member = _Member(Decoder(memory_for(self._max_pixels)), queue.SimpleQueue())
        name = f"Decoder-{self._made}"
        threading.Thread(target=self._run, args=(member,), name=name, daemon=True).start()
        return member

    def _run(self, member: _Member) -> None:
        """The thread that waits for a process."""
        while True:
            request = self._take(member)
            try:
                self._decode_all(member.decoder, request)
            except Exception:
                _LOGGER.error("decoding failed", exc_info=True)
                member.decoder.close()
                request.error = ServiceError(ErrorKind.INTERNAL)
            with self._lock:
                self._idle.append(member)
            request.decoding = False
            del request  # its pixels need not stay until the next one comes
            self._wake()

    def _take(self, member: _Member) -> RequestState:
        try:
            return member.work.get(timeout=_IDLE_S)
        except queue.Empty:
            member.decoder.close()
            return member.work.get()

    def _decode_all(self, decoder: Decoder, request: RequestState) -> None:
        def pixels_of(data: bytes, header: PictureHeader, reduction: int) -> np.ndarray:
            return decoder.decode(data, header, reduction, lambda: request.live)

        with contextlib.suppress(GaveUpError):
            for picture in filter(is_costly, request.pictures):
                if request.live:
                    decode(picture, pixels_of)
