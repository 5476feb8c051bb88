"""A client's looks at what the service lists, held against what it has to hold."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from bench.kills.clients.asking import (
    GROUP_NOT_FOUND,
    INVALID_TOKEN,
    SUCCESS,
    USER_NOT_FOUND,
    Answer,
    Asker,
)
from bench.kills.keys import Keys, LiveKey
from bench.kills.record import Record
from bench.kills.truth import GROUP, Finding, Key, Ledger, Person, State

MOST_LISTED = 1000
# Users at whom a client looks closely after each restart, beside those in doubt.
_CLOSELY = 3


class NoAnswerError(Exception):
    """A look that was not answered; it is made again later."""


@dataclass
class Tools:
    """What all clients of a run share."""

    keys: Keys
    record: Record


class Looking:
    """Looks at the users and groups of a ledger."""

    def __init__(self, ledger: Ledger, asker: Asker, tools: Tools) -> None:
        self.prefix = f"{ledger.owner}_"
        self.ledger = ledger
        self._asker = asker
        self._tools = tools

    async def ask(self, path: str, **parameters: Any) -> tuple[Answer, LiveKey]:
        """An answer, asked for with a key that works; a key that is refused is a finding."""
        key = self._tools.keys.pick(self.ledger.app)
        answer = await self._asker.ask(key.credential, path, **parameters)
        self._tools.record.codes[str(answer.code)] += 1
        if answer.code == INVALID_TOKEN and self._tools.keys.is_live(key):
            said = f"{path} is refused with it, though nobody has revoked it"
            self._tools.record.found([Finding("key lost", f"key {key.id}", said)])
        return answer, key

    async def quickly(self, choose: random.Random) -> None:
        """Look at who is there, at all that is in doubt, and closely at some."""
        await self._names()
        settled = sorted(key for key in self.ledger.settled if key[1])
        some = choose.sample(settled, min(_CLOSELY, len(settled)))
        for key in {*self.ledger.doubts, *some}:
            await self.at(key)

    async def closely(self) -> None:
        """Look at everything."""
        await self._names()
        for key in sorted({*self.ledger.settled, *self.ledger.doubts}):
            await self.at(key)

    async def at(self, key: Key) -> None:
        """Look at one user or group."""
        watch = self.ledger.watch(key)
        seen = await self._user(*key) if key[1] else await self._group(key[0])
        self._tools.record.compared += 1
        self._tools.record.found(self.ledger.look(key, seen, watch))

    async def _user(self, group: str, user: str) -> State:
        whom = {"group_id": group, "user_id": user}
        faces = await self._result("face/list", **whom)
        about = await self._result("user/get", **whom)
        if faces is None or about is None:
            return None
        tokens = frozenset(face["face_token"] for face in faces["face_list"])
        return Person(tokens, about["user_list"][0]["user_info"])

    async def _group(self, group: str) -> State:
        return GROUP if group in await self._groups() else None

    async def _groups(self) -> list[str]:
        listed = await self._result("group/list", length=MOST_LISTED)
        return list(listed["group_id_list"]) if listed else []

    async def _names(self) -> None:
        """Who is in which of the groups; everybody else's users are left to their clients."""
        ledger, record = self.ledger, self._tools.record
        mark = ledger.mark()
        groups = {group for group, _ in mark.settled}
        listed = await self._groups()
        own = [group for group in listed if group in groups or group.startswith(self.prefix)]
        record.found(ledger.compare_groups(mark, own))
        for group in sorted(groups):
            mark = ledger.mark()
            answer = await self._result("user/list", group_id=group, length=MOST_LISTED)
            names = answer["user_id_list"] if answer else []
            names = [name for name in names if name.startswith(self.prefix)]
            record.compared += len(names)
            record.found(ledger.compare_names(mark, group, names))

    async def _result(self, path: str, **parameters: Any) -> Any:
        """A result; None where there is no such user or group. Raises NoAnswerError."""
        answer, _ = await self.ask(path, **parameters)
        if answer.code == SUCCESS:
            return answer.result
        if answer.code in (USER_NOT_FOUND, GROUP_NOT_FOUND):
            return None
        raise NoAnswerError
