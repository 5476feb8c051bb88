"""The commands of an operator: what each is asked to do, and what its end says."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
import time
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from bench.kills.clients.faces import Pictures
from bench.kills.clients.looking import Tools
from bench.kills.databases import Contents, contents
from bench.kills.installation import Installation
from bench.kills.operator.key_orders import KeyOrders
from bench.kills.operator.order import Done, Order
from bench.kills.processes.nursery import LIBRARY
from bench.kills.truth import Finding, Key, Ledger, Mark, Operation, Person

# Where imported users go, and how their names begin.
IMPORTED = "imported"
OPERATOR = "operator"
_PICTURES_A_PERSON = 1
_PERSONS = 2
_KEPT_BACKUPS = 2
_READING_S = 60.0


class Operator:
    """Prepares commands on the library of one installation.

    ledgers: by app; the operator's own first, then those of the clients, whose users commands
    delete as well. pipeline: HOST:PORT.
    """

    def __init__(
        self,
        installation: Installation,
        pipeline: str,
        ledgers: dict[str, list[Ledger]],
        tools: Tools,
        seed: int,
    ) -> None:
        self._installation = installation
        self._pipeline = pipeline
        self._ledgers = ledgers
        self.keys = KeyOrders(installation.gateway, tools.keys, tools.record)
        self._record = tools.record
        self._choose = random.Random(seed)  # noqa: S311 - reproducible load
        self._pictures = Pictures(seed)
        self._numbers = itertools.count()
        self._backups: list[tuple[Path, Contents]] = []
        # What the other library holds.
        self._elsewhere: Contents = {}
        self.other_url = ""

    def prepare(self, kind: str) -> Order:
        """A command of this kind, or of another one where there is nothing for it to do."""
        if kind == "keys create":
            return self.keys.create(self._some_app())
        if kind == "keys revoke":
            key = self.keys.keys.take()
            return self.keys.create(self._some_app()) if key is None else self.keys.revoke(key)
        if kind == "library import":
            return self._import()
        if kind in ("library delete-user", "library delete-user --compact"):
            return self._delete(kind) or self.keys.list_keys()
        if kind == "library backup":
            return self._backup()
        if kind == "library restore":
            return self._restore() or self._backup()
        if kind == "library export":
            return self.export(self._some_app())
        return self.verify() if kind == "library verify" else self.keys.list_keys()

    def _import(self) -> Order:
        app = self._some_app()
        ledger = self._ledgers[app][0]
        number = next(self._numbers)
        folder = self._installation.folder / f"people-{number}"
        operations = []
        for person in range(_PERSONS):
            user = f"{OPERATOR}_{number}_{person}"
            (folder / user).mkdir(parents=True)
            for picture in range(_PICTURES_A_PERSON):
                data = base64.b64decode(self._pictures.portrait())
                (folder / user / f"{picture}.jpg").write_bytes(data)
            after = Person(more=_PICTURES_A_PERSON)
            operations.append(ledger.begin("library import", {(IMPORTED, user): after}))
        arguments = ["import", str(folder), "--app", app, "--group", IMPORTED]
        arguments += ["--service", self._pipeline, "--timeout", "20"]

        async def end(done: Done) -> None:
            for operation in operations:
                self._end(ledger, operation, done.succeeded)

        return Order("library import", LIBRARY, self._library(*arguments), end)

    def _delete(self, kind: str) -> Order | None:
        app = self._some_app()
        candidates = [
            (ledger, key)
            for ledger in self._ledgers[app]
            for key in sorted(ledger.settled)
            if key[1] and ledger.is_free(key)
        ]
        if not candidates:
            return None
        ledger, (group, user) = self._choose.choice(candidates)
        operation = ledger.begin(kind, {(group, user): None})
        arguments = ["delete-user", user, "--app", app, "--group", group]
        if kind.endswith("--compact"):
            arguments.append("--compact")

        def deleted(done: Done) -> bool:
            # Status 1 where a backup still has the user.
            return f"user {user} of app {app} is deleted" in done.out

        async def end(done: Done) -> None:
            if "user_not_found" in done.errors:
                ledger.refuse(operation)
                said = "delete-user does not know the user"
                self._found("lost", f"{app} {group}/{user}", said)
            else:
                self._end(ledger, operation, deleted(done))

        return Order(kind, LIBRARY, self._library(*arguments), end, deleted)

    def _end(self, ledger: Ledger, operation: Operation, done: bool) -> None:
        if done:
            ledger.acknowledge(operation)
        else:
            # Whoever judges has waited until nothing of the command can still be done.
            ledger.doubt(operation, lambda: True)

    def _backup(self) -> Order:
        file = self._installation.folder / f"backup-{next(self._numbers)}.db"
        marks = self._marks()

        async def end(done: Done) -> None:
            if not file.exists():
                if done.succeeded:
                    self._found("backup", file.name, "is not there")
                return
            try:
                held = contents(f"sqlite:///{file}")
            except Exception as error:  # noqa: BLE001 - whatever it is, the backup is none
                self._found("backup", file.name, f"cannot be read: {error}")
                return
            self._compare(marks, held, file.name)
            self._backups.append((file, held))
            for old, _ in self._backups[:-_KEPT_BACKUPS]:
                old.unlink(missing_ok=True)

        return Order("library backup", LIBRARY, self._library("backup", str(file)), end)

    def _restore(self) -> Order | None:
        """Put a backup into another library, in place of what that holds."""
        if not self._backups:
            return None
        file, held = self._backups[-1]

        async def end(done: Done) -> None:
            there = await self._read_other()
            if there is None:
                if self._elsewhere or done.succeeded:
                    self._found("backup", "other library", "cannot be read")
                return
            if there != held and (done.succeeded or there != self._elsewhere):
                said = f"is neither what it was nor {file.name}"
                self._found("backup", "other library", said)
            self._elsewhere = there

        other = ["--config", str(self._installation.other), "--no-progress"]
        return Order("library restore", LIBRARY, [*other, "restore", str(file), "--replace"], end)

    async def _read_other(self) -> Contents | None:
        """What the other library holds; None where it has no tables yet."""
        give_up = time.monotonic() + _READING_S
        while True:
            try:
                return await asyncio.to_thread(contents, self.other_url)
            except SQLAlchemyError as error:
                # Its server may be away just now.
                if "no such table" in str(error) or time.monotonic() > give_up:
                    return None
                await asyncio.sleep(0.2)

    def export(self, app: str) -> Order:
        """Export an app; what was acknowledged has to be in it, and nothing that was deleted."""
        file = self._installation.folder / f"export-{next(self._numbers)}.jsonl"
        marks = self._marks()

        async def end(done: Done) -> None:
            if not file.exists():
                if done.succeeded:
                    self._found("backup", file.name, "is not there")
                return
            people: dict[Key, Person] = {}
            for line in file.read_text(encoding="utf-8").splitlines():
                face = json.loads(line)
                key = (face["group"], face["user"])
                before = people.get(key, Person(info=face["info"]))
                people[key] = Person(before.tokens | {face["token"]}, face["info"])
            self._compare({app: marks[app]}, {app: people}, file.name)
            file.unlink()

        return Order(
            "library export", LIBRARY, self._library("export", str(file), "--app", app), end
        )

    def verify(self) -> Order:
        """Have the library looked through."""

        async def end(done: Done) -> None:
            if done.killed or not done.out.startswith("{"):
                return
            for problem in json.loads(done.out)["problems"]:
                where = f"{problem['app']} {problem['kind']} {problem['id']}"
                self._found("verify", where, str(problem.get("detail", "")))

        return Order("library verify", LIBRARY, self._library("verify", "--json"), end)

    def _marks(self) -> dict[str, list[Mark]]:
        return {app: [one.mark() for one in ledgers] for app, ledgers in self._ledgers.items()}

    def _compare(self, marks: dict[str, list[Mark]], held: Contents, what: str) -> None:
        for app, some in marks.items():
            people = held.get(app, {})
            for ledger, mark in zip(self._ledgers[app], some):
                own = {key: one for key, one in people.items() if is_of(ledger, key)}
                self._record.compared += len(own)
                for one in ledger.compare(mark, own):
                    self._found(one.kind, f"{one.where} in {what}", one.detail)

    def _some_app(self) -> str:
        return self._choose.choice(sorted(self._ledgers))

    def _library(self, *arguments: str) -> list[str]:
        general = ["--config", str(self._installation.gateway), "--no-progress"]
        return [*general, *arguments]

    def _found(self, kind: str, where: str, said: str) -> None:
        self._record.found([Finding(kind, where, said)])


def is_of(ledger: Ledger, key: Key) -> bool:
    """Whether a user is one of a ledger's."""
    return key[1].startswith(f"{ledger.owner}_")
