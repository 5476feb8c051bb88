"""Clients that enrol, move and delete without a break, whatever happens to the service."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Mapping
from typing import Any

from bench.kills.clients.asking import DATABASE, NO_ANSWER, PAUSE_S, Answer, Asker, End
from bench.kills.clients.faces import Pictures
from bench.kills.clients.looking import Looking, NoAnswerError, Tools
from bench.kills.processes.front import Front
from bench.kills.truth import GROUP, Finding, Key, Ledger, Operation, Person, State

SHARED_GROUPS = ("staff", "guests", "alumni")
# How often each operation is asked for, of `sum(...)`.
OPERATIONS = {
    "enrol": 22,
    "enrol a portrait": 3,
    "enrol a detected face": 4,
    "enrol a registered face": 8,
    "update": 8,
    "copy": 8,
    "move": 8,
    "delete a face": 8,
    "delete a user": 10,
    "delete a user everywhere": 4,
    "add a group": 3,
    "delete a group": 2,
    "search": 3,
}
_MOST_USERS, _MOST_FACES, _MOST_GROUPS = 24, 5, 3
# Users that a search returns at most.
_MOST_FOUND = 50
# Seconds between two operations of a client.
_THINKS_S = 0.02
# Seconds after which a client goes on that was told to come back later, or has nothing to do.
_LATER_S = 0.2
# Users and groups in doubt with which a client starts nothing more before that is settled.
_MOST_DOUBTS = 12
# Seconds that a client waits for a gateway that starts.
_WAITS_S = 0.5


class Client:
    """One client with users of its own, in groups that it shares and in groups of its own."""

    def __init__(self, ledger: Ledger, asker: Asker, front: Front, tools: Tools, seed: int) -> None:
        self.looking = Looking(ledger, asker, tools)
        self.ledger = ledger
        self.checked = asyncio.Event()
        self._name = ledger.owner
        self._front = front
        self._tools = tools
        self._choose = random.Random(seed)  # noqa: S311 - reproducible load
        self._pictures = Pictures(seed)
        self._numbers = itertools.count()
        self._stopping = False
        self._seen = 0
        self._wanted: asyncio.Event | None = None

    async def run(self, writes: bool = True) -> None:
        """Work until `stop`; after each restart what is there is looked at first."""
        while not self._stopping:
            if not await self._front.is_ready(_WAITS_S):
                continue
            try:
                await self._look()
            except NoAnswerError:
                await asyncio.sleep(PAUSE_S)
                continue
            if not writes or len(self.ledger.doubts) >= _MOST_DOUBTS:
                await asyncio.sleep(_LATER_S)
                continue
            await self._work()
            await asyncio.sleep(_THINKS_S)

    def stop(self) -> None:
        """End after the operation under way."""
        self._stopping = True

    def check(self) -> asyncio.Event:
        """Have everything looked at; the event tells when that is done."""
        self.checked = asyncio.Event()
        self._wanted = self.checked
        return self.checked

    async def _look(self) -> None:
        generation = self._front.number
        if self._wanted is not None:
            await self.looking.closely()
            self._wanted.set()
            self._wanted = None
        elif generation != self._seen:
            await self.looking.quickly(self._choose)
            self._seen = generation
        elif self.ledger.doubts and self._choose.random() < 0.2:
            await self.looking.at(self._choose.choice(sorted(self.ledger.doubts)))

    async def _work(self) -> None:
        kind = self._choose.choices(list(OPERATIONS), list(OPERATIONS.values()))[0]
        if kind in ("enrol", "add a group") and len(self._users()) >= _MOST_USERS:
            kind = "delete a user"
        match kind:
            case "enrol":
                await self._enrol_new()
            case "enrol a portrait" | "enrol a detected face" | "update":
                await self._enrol_more(kind)
            case "enrol a registered face":
                await self._enrol_registered()
            case "copy" | "move":
                await self._copy(move=kind == "move")
            case "add a group" | "delete a group":
                await self._group(kind)
            case "search":
                await self._search()
            case _:
                await self._delete(kind)

    async def _enrol_new(self) -> None:
        key = (self._some_group(), f"{self._name}_{next(self._numbers)}")
        info = self._some_info() if self._choose.random() < 0.5 else ""
        picture = {**_picture(self._pictures.aligned()), "face_type": "ALIGNED"}
        if info:
            picture["user_info"] = info
        after = {key: Person(info=info, more=1)}
        await self._change("enrol", after, "face/add", **_whom(key), **picture)

    async def _enrol_more(self, kind: str) -> None:
        key = self._some_user()
        if key is None:
            return
        before = self.ledger.settled[key]
        if kind == "update":
            info = self._some_info()
            after = Person(info=info, more=1)
            picture = {**_picture(self._pictures.aligned()), "face_type": "ALIGNED"}
            picture["user_info"] = info
            await self._change(kind, {key: after}, "face/update", **_whom(key), **picture)
            return
        if len(before.tokens) >= _MOST_FACES:
            return
        picture = _picture(self._pictures.portrait())
        if kind == "enrol a detected face":
            answer, _ = await self.looking.ask("face/detect", **picture)
            if answer.end is not End.DONE:
                return
            token = answer.result["face_list"][0]["face_token"]
            picture = {"image": token, "image_type": "FACE_TOKEN"}
        if not self.ledger.is_free(key) or self.ledger.settled.get(key) != before:
            return  # a command has taken the user meanwhile
        after = Person(before.tokens, before.info, before.more + 1)
        await self._change(kind, {key: after}, "face/add", **_whom(key), **picture)

    async def _enrol_registered(self) -> None:
        source, target = self._some_user(), self._some_user()
        if source is None or target is None or source[0] == target[0]:
            return
        had, before = self.ledger.settled[source], self.ledger.settled[target]
        new = sorted(had.tokens - self.ledger.tokens_in(target[0]))
        if not new or len(before.tokens) >= _MOST_FACES:
            return
        token = self._choose.choice(new)
        after = Person(before.tokens | {token}, before.info, before.more)
        by_token = {"image": token, "image_type": "FACE_TOKEN"}
        # The source is held as well: its face must not go before it is there twice.
        states = {target: after, source: had}
        await self._change(
            "enrol a registered face", states, "face/add", **_whom(target), **by_token
        )

    async def _copy(self, move: bool) -> None:
        source = self._some_user()
        if source is None:
            return
        target = (self._some_group(), source[1])
        if target in self.ledger.settled or not self.ledger.is_free(target):
            return
        faces = self.ledger.settled[source]
        if faces.tokens & self.ledger.tokens_in(target[0]):
            return  # a group has a face once
        where = {"src_group_id": source[0], "dst_group_id": target[0]}
        states = {target: faces, source: faces}
        answer = await self._change(
            "move" if move else "copy", states, "user/copy", user_id=source[1], **where
        )
        if move and answer.end is End.DONE and self.ledger.is_free(source):
            await self._change("move", {source: None}, "user/delete", **_whom(source))

    async def _delete(self, kind: str) -> None:
        key = self._some_user()
        if key is None:
            return
        if kind == "delete a face":
            before = self.ledger.settled[key]
            if not before.tokens or before.more:
                return
            token = self._choose.choice(sorted(before.tokens))
            left = before.tokens - {token}
            after = {key: Person(left, before.info) if left else None}
            await self._change(kind, after, "face/delete", face_token=token, **_whom(key))
        elif kind == "delete a user":
            await self._change(kind, {key: None}, "user/delete", **_whom(key))
        else:
            everywhere = [one for one in self._keys() if one[1] == key[1]]
            if all(self.ledger.is_free(one) for one in everywhere):
                whom = {"user_id": key[1], "group_id": "@ALL"}
                await self._change(kind, dict.fromkeys(everywhere), "user/delete", **whom)

    async def _group(self, kind: str) -> None:
        own = [group for group, user in self.ledger.settled if not user and self._is_own(group)]
        if kind == "add a group":
            if len(own) < _MOST_GROUPS:
                group = f"{self._name}_g{next(self._numbers)}"
                await self._change(kind, {(group, ""): GROUP}, "group/add", group_id=group)
            return
        if own:
            group = self._choose.choice(own)
            inside = [key for key in self._keys() if key[0] == group]
            if all(self.ledger.is_free(key) for key in inside):
                await self._change(kind, dict.fromkeys(inside), "group/delete", group_id=group)

    async def _search(self) -> None:
        """Everybody in a group of one's own is found, and nobody who is not there any more."""
        own = [group for group, user in self.ledger.settled if not user and self._is_own(group)]
        key = self._some_user()
        if not own or key is None or not self.ledger.settled[key].tokens:
            return
        group = self._choose.choice(own)
        mark = self.ledger.mark()
        token = min(self.ledger.settled[key].tokens)
        answer, _ = await self.looking.ask(
            "face/identify",
            image=token,
            image_type="FACE_TOKEN",
            group_id_list=group,
            max_user_num=_MOST_FOUND,
            match_threshold=0,
        )
        if answer.end is End.DONE:
            names = [user["user_id"] for user in answer.result["user_list"]]
            self._tools.record.acknowledged["search"] += 1
            self._tools.record.found(
                Finding(one.kind, f"{one.where} in a search", one.detail)
                for one in self.ledger.compare_names(mark, group, names)
            )

    async def _change(
        self, kind: str, states: Mapping[Key, State], path: str, **parameters: Any
    ) -> Answer:
        """Ask for a change, and note how it ended."""
        operation = self.ledger.begin(kind, states)
        answer, _ = await self.looking.ask(path, **parameters)
        self._note(operation, answer)
        if answer.code == DATABASE:
            await asyncio.sleep(_LATER_S)
        if answer.end is End.REFUSED and answer.code != NO_ANSWER:
            # What was refused against expectation may be so because something has gone.
            for key in operation.before:
                try:
                    await self.looking.at(key)
                except NoAnswerError:
                    break
        return answer

    def _note(self, operation: Operation, answer: Answer) -> None:
        record, ledger = self._tools.record, self.ledger
        if answer.end is End.DONE:
            token = answer.result.get("face_token") if isinstance(answer.result, dict) else None
            ledger.acknowledge(operation, token)
            record.acknowledged[operation.kind] += 1
        elif answer.end is End.REFUSED:
            ledger.refuse(operation)
            # What could not be sent nobody has refused.
            record.refused[operation.kind] += answer.code != NO_ANSWER
        else:
            ledger.doubt(operation, self._front.fence())
            record.unknown[operation.kind] += 1

    def _keys(self) -> list[Key]:
        return sorted({*self.ledger.settled, *self.ledger.doubts, *self.ledger.busy})

    def _users(self) -> list[Key]:
        settled = self.ledger.settled
        return sorted(key for key in settled if key[1] and self.ledger.is_free(key))

    def _some_user(self) -> Key | None:
        users = self._users()
        return self._choose.choice(users) if users else None

    def _some_group(self) -> str:
        own = [
            group
            for group, user in self.ledger.settled
            if not user and self._is_own(group) and self.ledger.is_free((group, ""))
        ]
        return self._choose.choice([*SHARED_GROUPS, *sorted(own)])

    def _is_own(self, group: str) -> bool:
        return group.startswith(f"{self._name}_")

    def _some_info(self) -> str:
        return f"info {next(self._numbers)} {self._choose.randrange(10**6)}"


def _whom(key: Key) -> dict[str, str]:
    return {"group_id": key[0], "user_id": key[1]}


def _picture(image: str) -> dict[str, str]:
    return {"image": image, "image_type": "BASE64"}
