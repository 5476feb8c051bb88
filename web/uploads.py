"""Bodies of requests: how many are on their way, what all of them hold, and which are given up.

A body's bytes count until its request has been answered, since what is made of them lives as long.
Those of a packed one count as they are unpacked, which is done as they come.
Where there is no room for a new one, those that do not get on make it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from web.unpacking import Unpacker

Body = bytes | bytearray
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# A body that does not bring so many bytes in so many seconds is given up where there is no room.
# A picture of 100 KB that comes as slowly would not be answered within the 30 seconds of a request.
PROGRESS_BYTES = 8192
PROGRESS_S = 4.0


class FullError(Exception):
    """There is no room for a body now."""


class TooLargeError(Exception):
    """A body has more bytes than one may have."""


class TooSlowError(Exception):
    """A body did not arrive in its time, or was given up for others."""


class GoneError(Exception):
    """The client hung up before it had sent its request."""


class Quota:
    """So many of something, which requests share.

    Of one owner's requests a quarter of it, or `least` if that is more; beyond that only as long as
    half of it is free. The owner "" is nobody in particular, and may have all.
    """

    def __init__(self, most: int, least: int = 1) -> None:
        self._most = most
        self._share = max(most // 4, least)
        self._owned: dict[str, int] = {}
        self.taken = 0

    def take(self, owner: str, count: int = 1) -> bool:
        """Take some; False, and nothing taken, where there are not so many left for the owner."""
        taken = self.taken + count
        most = self._most // 2 if self.is_over_share(owner, count) else self._most
        if taken > most:
            return False
        self.taken = taken
        self._owned[owner] = self.owned(owner) + count
        return True

    def give(self, owner: str, count: int = 1) -> None:
        """Give back what was taken."""
        self.taken -= count
        self._owned[owner] -= count
        if not self._owned[owner]:
            del self._owned[owner]

    def owned(self, owner: str) -> int:
        """What an owner's requests have taken."""
        return self._owned.get(owner, 0)

    def is_over_share(self, owner: str, count: int) -> bool:
        """Whether so many more would be more than the owner has a right to."""
        return bool(owner) and self.owned(owner) + count > self._share

    def is_full(self) -> bool:
        """Whether nobody could take one more."""
        return self.taken >= self._most


class Uploads:
    """Everybody's bodies. For one event loop.

    most: on their way at a time. most_bytes: of these, and of those whose requests are worked on.
    one_bytes: that one body may have.
    """

    def __init__(self, most: int, most_bytes: int, one_bytes: int) -> None:
        self._count = Quota(most)
        self._bytes = Quota(most_bytes, one_bytes)
        self._one_bytes = one_bytes
        self._arriving: dict[Upload, None] = {}

    def begin(self, owner: str = "") -> Upload:
        """A body that is about to be received; to be ended. Raises FullError."""
        self._make_room(self._count, owner, 1)
        upload = Upload(self, owner)
        self._arriving[upload] = None
        return upload

    async def receive(
        self,
        upload: Upload,
        receive: Receive,
        seconds: float,
        most: int | None = None,
        unpacker: Unpacker | None = None,
    ) -> Body:
        """The whole body.

        seconds: in which it has to arrive. most: bytes, where fewer than usual are taken.
        unpacker: of a packed body. Raises FullError, TooLargeError, TooSlowError, GoneError,
        BrokenEncodingError.
        """
        most = self._one_bytes if most is None else most
        upload.collecting = asyncio.ensure_future(self._collect(upload, receive, most, unpacker))
        try:
            return await asyncio.wait_for(upload.collecting, seconds)
        except TimeoutError:
            raise TooSlowError from None
        except asyncio.CancelledError:
            if upload.is_given_up:
                raise TooSlowError from None
            raise
        finally:
            upload.collecting = None  # it would keep the body
            self._arrived(upload)

    def end(self, upload: Upload) -> None:
        """Its request has been answered, or given up. May be called again."""
        self._arrived(upload)
        if upload.held:
            self._bytes.give(upload.owner, upload.held)
            upload.held = 0

    async def _collect(
        self, upload: Upload, receive: Receive, most: int, unpacker: Unpacker | None
    ) -> Body:
        body: Body = b""
        more = True
        try:
            while more:
                part, more = await _next_part(receive)
                for piece in (part,) if unpacker is None else unpacker.pieces(part):
                    if len(body) + len(piece) > most:
                        raise TooLargeError
                    self._hold(upload, len(piece))
                    body = _joined(body, piece)
                    if unpacker is not None:
                        # What takes long to unpack keeps nobody else waiting.
                        await asyncio.sleep(0)
            if unpacker is not None:
                unpacker.end()
            return body
        finally:
            # An error holds this frame, and a task the error, until Python looks for circles: what
            # was refused would take several times what all bodies may.
            body = part = piece = b""

    def _hold(self, upload: Upload, size: int) -> None:
        if upload.is_given_up:
            raise TooSlowError
        if size:
            try:
                self._make_room(self._bytes, upload.owner, size, upload)
            except FullError:
                # At once, or all that are on their way would meet the same.
                self.end(upload)
                raise
            upload.held += size
            upload.note_progress(size)

    def _arrived(self, upload: Upload) -> None:
        if upload in self._arriving:
            del self._arriving[upload]
            self._count.give(upload.owner)

    def _make_room(
        self, quota: Quota, owner: str, count: int, asking: Upload | None = None
    ) -> None:
        """Take so many, at the cost of bodies that do not get on. Raises FullError."""
        if quota.take(owner, count):
            return
        now = time.monotonic()
        stalled = [one for one in self._arriving if one is not asking and one.is_stalled(now)]
        if quota.is_over_share(owner, count):
            stalled = [one for one in stalled if one.owner == owner]
        for one in sorted(stalled, key=lambda one: (-quota.owned(one.owner), -one.held)):
            self._give_up(one)
            if quota.take(owner, count):
                return
        raise FullError

    def _give_up(self, upload: Upload) -> None:
        upload.is_given_up = True
        if upload.collecting is not None:
            upload.collecting.cancel()
        self.end(upload)


class Upload:
    """One request's body. owner: whose share it counts to, "" for nobody's. held: bytes."""

    def __init__(self, uploads: Uploads, owner: str) -> None:
        self.owner = owner
        self.held = 0
        self.is_given_up = False
        self.collecting: asyncio.Task[Body] | None = None
        self._since = time.monotonic()
        self._fresh = 0

    def note_progress(self, size: int) -> None:
        """So many bytes have come."""
        self._fresh += size
        if self._fresh >= PROGRESS_BYTES:
            self._fresh = 0
            self._since = time.monotonic()

    def is_stalled(self, now: float) -> bool:
        """Whether it has not brought PROGRESS_BYTES for PROGRESS_S."""
        return now - self._since > PROGRESS_S


async def _next_part(receive: Receive) -> tuple[bytes, bool]:
    """The next bytes of a body, and whether there are more. Raises GoneError."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise GoneError
    return message.get("body", b""), message.get("more_body", False)


def _joined(body: Body, part: bytes) -> Body:
    """Both in one, made of the first one where it can grow."""
    if not body:
        return part
    # Not a list of parts: of one byte each, they would take sixty times the body.
    body = bytearray(body) if isinstance(body, bytes) else body
    body += part
    return body
