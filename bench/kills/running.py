"""One run on one database: clients at work, kills by rounds, and the last look from cold."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.kills.clients.asking import Asker, End
from bench.kills.clients.clients import SHARED_GROUPS, Client
from bench.kills.clients.looking import Tools
from bench.kills.clients.revoked import Prober
from bench.kills.databases import Database
from bench.kills.installation import PipelineSettings, write_installation
from bench.kills.keys import Keys, LiveKey, Trouble
from bench.kills.killer import Killer
from bench.kills.kinds import Round
from bench.kills.operator.orders import IMPORTED, OPERATOR, Operator
from bench.kills.processes.front import Front
from bench.kills.processes.processes import Programs, Supervisor
from bench.kills.record import Record
from bench.kills.truth import GROUP, Finding, Ledger
from gateway.auth.key_store import KeyStore
from settings.config import load_config

APPS = ("shop", "bank")
_KEYS_AN_APP = 4
_WORK_A_KILL = 11  # acknowledged operations
_POLL_S = 0.05
# Seconds in which all clients have looked at everything, or have done that work.
_CHECK_S = 300.0


class Run:
    """All that belongs to one run. pipeline: the process and settings of the shared pipeline."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        folder: Path,
        database: Database,
        programs: Programs,
        pipeline: tuple[Supervisor, PipelineSettings],
        record: Record,
        clients: int,
    ) -> None:
        process, about = pipeline
        self.installation = write_installation(
            settings, folder, about.address, database.url, database.other_url
        )
        self._record = record
        self._database = database
        self._choose = random.Random(record.seed)  # noqa: S311 - a run that can be repeated
        self._trouble = Trouble()
        self._keys = Keys(self._trouble, self._choose)
        self._front = Front(self.installation, programs, database, record)
        self._tools = Tools(self._keys, record)
        self._askers: list[Asker] = []
        self._ledgers = {app: [Ledger(app, OPERATOR)] for app in APPS}
        for number in range(clients):
            app = APPS[number % len(APPS)]
            self._ledgers[app].append(Ledger(app, f"u{number}"))
        self._clients = [
            Client(ledger, self._asker(), self._front, self._tools, record.seed + number)
            for number, ledger in enumerate(one for app in APPS for one in self._ledgers[app])
        ]
        self._operator = Operator(
            self.installation, about.address, self._ledgers, self._tools, record.seed
        )
        self._operator.other_url = database.other_url
        self._killer = Killer(
            self._front,
            self._operator,
            database,
            programs,
            process,
            self._trouble,
            record,
            self._choose,
        )
        self._prober = Prober(
            self._front, self._keys, self._trouble, self._asker(), record, self._choose
        )
        self._operator.keys.on_revoked = self._prober.follow

    def _asker(self) -> Asker:
        self._askers.append(Asker(self.installation.url))
        return self._askers[-1]

    async def go(
        self, kills: int, show: Callable[[], None], round_done: Callable[[], None]
    ) -> None:
        """Do all of it. Raises RuntimeError where something does not start again."""
        began = time.monotonic()
        working: list[asyncio.Task[None]] = []
        try:
            await self._prepare()
            for client in self._clients:
                writes = client.ledger.owner != OPERATOR
                working.append(asyncio.create_task(client.run(writes)))
            aside = [
                asyncio.create_task(self._prober.watch()),
                asyncio.create_task(self._fetch_tokens()),
                asyncio.create_task(_repeat(show)),
            ]
            working += aside
            await self._with(working, self._rounds(kills, round_done))
            for client in self._clients:
                client.stop()
            for task in aside:
                task.cancel()
            await asyncio.wait_for(asyncio.gather(*working, return_exceptions=True), _CHECK_S)
            await self._last_look()
        finally:
            for task in working:
                task.cancel()
            self._record.seconds = time.monotonic() - began
            show()
            await self._close()

    async def _with(self, working: list[asyncio.Task[None]], work: Any) -> None:
        """Do work beside tasks that must not end meanwhile. Raises what ended them."""
        doing = asyncio.ensure_future(work)
        try:
            await asyncio.wait({doing, *working}, return_when=asyncio.FIRST_COMPLETED)
            for task in working:
                if task.done():
                    task.result()
            await doing
        finally:
            doing.cancel()

    async def _prepare(self) -> None:
        """Keys and groups, as they are before anything is killed."""
        store = KeyStore(load_config(self.installation.gateway).library_config())
        for app in APPS:
            for _ in range(_KEYS_AN_APP):
                key, secret = store.create(app, "write")
                self._keys.add(LiveKey(key.id, secret, app))
        store.close()
        self._front.start_gateway()
        await self._front.until_ready()
        for client in self._clients:
            for group in (*SHARED_GROUPS, IMPORTED):
                client.ledger.settled[group, ""] = GROUP
        for app in APPS:
            asker = self._clients[0].looking if app == APPS[0] else self._of(app).looking
            for group in (*SHARED_GROUPS, IMPORTED):
                answer, _ = await asker.ask("group/add", group_id=group)
                if answer.end is not End.DONE:
                    raise RuntimeError(f"group/add was answered {answer.code}")

    def _of(self, app: str) -> Client:
        return next(client for client in self._clients if client.ledger.app == app)

    async def _rounds(self, kills: int, round_done: Callable[[], None]) -> None:
        while self._record.killed < kills:
            left = kills - self._record.killed
            await self._killer.round(Round(bool(self._database.kills), left, self._choose))
            await self._front.until_ready()
            await self._check()
            await asyncio.wait_for(self._work(), _CHECK_S)
            round_done()

    async def _work(self) -> None:
        """Return when the clients have got as much done as they do on a quiet machine."""
        while sum(self._record.acknowledged.values()) < _WORK_A_KILL * self._record.killed:
            await asyncio.sleep(_POLL_S)

    async def _check(self) -> None:
        """Have every client look at everything."""
        checks = [client.check() for client in self._clients]
        await asyncio.wait_for(asyncio.gather(*(one.wait() for one in checks)), _CHECK_S)

    async def _last_look(self) -> None:
        """From cold: all that was in doubt is settled, and everything has to be there."""
        await self._front.kill()
        await self._front.settled()
        self._front.start_gateway()
        await self._front.until_ready()
        # The second time nothing is in doubt any more.
        for _ in range(2):
            for client in self._clients:
                await client.looking.closely()
        for client in self._clients:
            for key in client.ledger.doubts:
                said = "cannot be settled"
                self._record.found([Finding("half", f"{client.ledger.app} {key}", said)])
        await self._prober.conclude()
        if status := await self._front.end():
            self._record.found([Finding("service", "gateway", f"ended with status {status}")])
        await self._front.settled()
        for app in APPS:
            await self._killer.run(self._operator.export(app))
        await self._killer.run(self._operator.keys.list_keys())
        await self._killer.run(self._operator.verify())
        # The clean end has written snapshots, which are not to say anything else.
        self._front.start_gateway()
        await self._front.until_ready()
        for client in self._clients:
            await client.looking.closely()

    async def _fetch_tokens(self) -> None:
        """Access tokens of all keys, which must not be answered either once those are revoked."""
        asker = self._asker()
        while True:
            for keys in list(self._keys.live.values()):
                for key in list(keys):
                    if key.id not in self._operator.keys.tokens and self._keys.is_live(key):
                        token = await asker.token(key.id, key.secret)
                        if token:
                            self._operator.keys.tokens[key.id] = token
            await asyncio.sleep(0.5)

    async def _close(self) -> None:
        await self._front.close()
        for asker in self._askers:
            await asker.close()


async def _repeat(show: Callable[[], None]) -> None:
    while True:
        show()
        await asyncio.sleep(0.5)
