"""Keys in memory, so that the database is not asked at every request."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from gateway.auth.key_store import NOTE_S, KeyStore
from gateway.auth.keys import Key
from gateway.errors import ApiError, ErrorCode
from library.errors import DatabaseError

# Seconds: a key is looked up again after FRESH_S, so that revoking it works within that. While
# the database does not answer, what is known of a key is good for STALE_S.
FRESH_S = 1.0
STALE_S = 60.0
# Seconds that a request waits for a key, and for one that is known but not fresh.
WAIT_S = 5.0
WAIT_KNOWN_S = 0.5
# Seconds after a failure in which the database is not asked.
PAUSE_S = 1.0
# Keys that are remembered, and as many ids that no key has.
MOST = 10_000


@dataclass(frozen=True)
class _Found:
    """What the database said of an id at a moment of `time.monotonic`."""

    key: Key | None
    moment: float


class KeyCache:
    """Finds keys for one event loop."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="keys")
        # Apart from each other, so that no flood of made-up ids drives out the real keys.
        self._known: OrderedDict[str, _Found] = OrderedDict()
        self._unknown: OrderedDict[str, _Found] = OrderedDict()
        self._lookups: dict[str, asyncio.Future[Key | None]] = {}
        self._away_until = 0.0
        self._slow_until = 0.0
        self._noted: OrderedDict[str, float] = OrderedDict()
        self._noting: asyncio.Future[None] | None = None

    def has(self, id_: str) -> bool:
        """Whether the id is that of a key that was found lately."""
        return id_ in self._known

    async def find(self, id_: str) -> Key | None:
        """A key, also one that was revoked; None for an id that no key has.

        Raises ApiError DATABASE where it cannot be looked up and is not known.
        """
        found = self._known.get(id_) or self._unknown.get(id_)
        now = time.monotonic()
        if found is not None and now - found.moment < FRESH_S:
            return found.key
        known = None
        if found is not None and found.key is not None and now - found.moment < STALE_S:
            known = found.key
        if now < self._away_until or (known is not None and now < self._slow_until):
            if known is not None:
                return known
            raise ApiError(ErrorCode.DATABASE)
        try:
            lookup = asyncio.shield(self._lookup(id_))
            return await asyncio.wait_for(lookup, WAIT_S if known is None else WAIT_KNOWN_S)
        except TimeoutError:
            self._slow_until = time.monotonic() + PAUSE_S
        except DatabaseError:
            self._away_until = time.monotonic() + PAUSE_S
        if known is not None:
            return known
        raise ApiError(ErrorCode.DATABASE)

    def _lookup(self, id_: str) -> asyncio.Future[Key | None]:
        """The one lookup of an id that is under way."""
        lookup = self._lookups.get(id_)
        if lookup is None:
            lookup = asyncio.ensure_future(self._ask(id_))
            self._lookups[id_] = lookup

            def done(lookup: asyncio.Future[Key | None]) -> None:
                del self._lookups[id_]
                if not lookup.cancelled():
                    lookup.exception()  # seen, though everybody has stopped waiting

            lookup.add_done_callback(done)
        return lookup

    async def _ask(self, id_: str) -> Key | None:
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        key = await loop.run_in_executor(self._pool, self._store.find, id_)
        kept, other = self._known, self._unknown
        if key is None:
            kept, other = other, kept
        other.pop(id_, None)
        kept[id_] = _Found(key, started)
        kept.move_to_end(id_)
        if len(kept) > MOST:
            kept.popitem(last=False)
        return key

    def note_use(self, key: Key) -> None:
        """Have it noted, some time, that a key is used; one note at a time."""
        if key.used is not None and time.time() - key.used.timestamp() < NOTE_S:
            return
        now = time.monotonic()
        if self._noting is not None or now - self._noted.get(key.id, -math.inf) < NOTE_S:
            return
        self._noted[key.id] = now
        self._noted.move_to_end(key.id)
        if len(self._noted) > MOST:
            self._noted.popitem(last=False)
        self._noting = asyncio.ensure_future(self._note(key.id))

    async def _note(self, id_: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            # No request depends on it: what fails is tried again in an hour.
            with suppress(DatabaseError):
                await loop.run_in_executor(self._pool, self._store.note_use, id_)
        finally:
            self._noting = None

    async def close(self) -> None:
        """Let go of the database."""
        if self._noting is not None:
            await asyncio.wait([self._noting])
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._store.close)
        self._pool.shutdown(wait=False)
