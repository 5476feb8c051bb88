"""Asks with revoked keys, which must never be answered."""

from __future__ import annotations

import asyncio
import random
import time

from bench.kills.clients.asking import SUCCESS, Answer, Asker, End
from bench.kills.keys import Keys, LateAnswer, LiveKey, RevokedKey, Trouble
from bench.kills.processes.front import Front
from bench.kills.record import Record
from bench.kills.truth import Finding
from gateway.auth.key_cache import FRESH_S, STALE_S
from gateway.auth.keys import new_id, new_secret

_POLL_S = 0.15
# Refusals after which a key is left alone, and revoked keys that each gateway is asked with.
_ENOUGH, _TRIED = 3, 2
# At the end; a gateway looks only so many keys a second up for who shows many wrong ones.
_TRIED_AT_THE_END, _PACE_S = 60, 0.1
_PATH = "group/list"


class Prober:
    """Tries revoked keys: at once, with each new gateway, and at the end."""

    def __init__(
        self,
        front: Front,
        keys: Keys,
        trouble: Trouble,
        asker: Asker,
        record: Record,
        choose: random.Random,
    ) -> None:
        self._front = front
        self._keys = keys
        self._asker = asker
        self._record = record
        self._trouble = trouble
        self._choose = choose
        self._following: set[asyncio.Task[None]] = set()

    def follow(self, revoked: RevokedKey) -> None:
        """Try a key that has just been revoked until it is refused for good."""
        task = asyncio.create_task(self._follow(revoked))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def watch(self) -> None:
        """Try some revoked keys with each new gateway, without end."""
        seen = 0
        while True:
            if self._front.number != seen and self._keys.revoked:
                some = min(_TRIED, len(self._keys.revoked))
                for revoked in self._choose.sample(self._keys.revoked, some):
                    if (await self._try(revoked)).end is End.REFUSED:
                        seen = self._front.number
            await asyncio.sleep(_POLL_S)

    async def _follow(self, revoked: RevokedKey) -> None:
        refusals = 0
        while refusals < _ENOUGH and time.monotonic() < revoked.at + STALE_S + FRESH_S:
            answer = await self._try(revoked)
            late = answer.sent > revoked.at + FRESH_S
            refusals += late and answer.end is End.REFUSED and answer.code > 0
            await asyncio.sleep(_POLL_S)

    async def _try(self, revoked: RevokedKey) -> Answer:
        credentials = [revoked.key.credential, *([revoked.token] if revoked.token else [])]
        started = self._front.current.started if self._front.current else 0.0
        answer, lookup = await asyncio.gather(
            self._asker.ask(self._choose.choice(credentials), _PATH),
            self._asker.ask(f"{new_id()}.{new_secret()}", _PATH),
        )
        self._trouble.note_lookup(lookup)
        self._record.probes_of_revoked += 1
        if answer.code == SUCCESS:
            self._keys.late.append(LateAnswer(revoked, answer, started))
        return answer

    async def conclude(self) -> None:
        """Wait for what is under way, try all keys, and judge what was answered."""
        if self._following:
            await asyncio.wait(self._following)
        count = min(_TRIED_AT_THE_END, len(self._keys.revoked))
        for revoked in self._choose.sample(self._keys.revoked, count):
            await self._try(revoked)
            await asyncio.sleep(_PACE_S)
        for key in [key for keys in self._keys.live.values() for key in keys]:
            await self._try_live(key)
        for _, finding in self._keys.judge():
            self._record.grace += finding is None
            self._record.found([finding] if finding else [])

    async def _try_live(self, key: LiveKey) -> None:
        answer = await self._asker.ask(key.credential, _PATH)
        await asyncio.sleep(_PACE_S)
        if answer.code != SUCCESS:
            said = f"is answered {answer.code} at the end"
            self._record.found([Finding("key lost", f"key {key.id}", said)])
