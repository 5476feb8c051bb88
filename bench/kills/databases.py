"""The databases under the service: what can be killed of them, and how one sees that it is over."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
from sqlalchemy import NullPool, create_engine, select

from bench.kills.database_server import PostgreSql
from bench.kills.truth import Key, Person
from library.sql.tables import app, entry, face, face_group, person
from settings.library import LibraryConfig

_POLL_S = 0.05
_START_S = 120.0
# What a session's process is called: "postgres: USER DATABASE HOST(PORT) STATE".
_SESSION = "postgres: faces "

# An app's users by group and name.
Contents = Mapping[str, Mapping[Key, Person]]


class Sqlite:
    """A file. Nothing of it outlives the processes that use it."""

    name = "sqlite"
    kills: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.file = "faces.db"
        self.url = "sqlite:///data/faces.db"
        self.other_url = f"sqlite:///{folder}/other/faces.db"

    async def gone(self, name: str) -> None:
        """Return when nothing that a dead process began can still become true."""

    async def remove(self) -> None:
        """Let go of it."""


class PostgreSqlServer:
    """A server of the bench's own, with the durability that PostgreSQL has by default."""

    name = "postgresql"
    kills = ("database server", "database session")

    def __init__(self, folder: Path) -> None:
        self.file = ""
        self._server = PostgreSql()
        self.url = self._server.new_database()
        self.other_url = self._server.new_database()

    async def gone(self, name: str) -> None:
        """Return when the sessions of a dead process have ended, with their transactions."""
        query = f"SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'"  # noqa: S608
        while True:
            with suppress(psycopg.OperationalError):
                if not await asyncio.to_thread(self._server.ask, query):
                    return
            await asyncio.sleep(_POLL_S)

    async def kill(self, kind: str, choose: random.Random) -> int:
        """Kill what `kind` names, and return when the server answers again; processes killed."""
        if kind == "database server":
            os.kill(self._server.pid, signal.SIGKILL)
            while not self._server.has_ended():
                await asyncio.sleep(_POLL_S)
            await self._start()
            return 1
        killed = self._kill_session(choose)
        # The server ends all sessions, and starts anew by itself.
        await self._answering()
        return killed

    def _kill_session(self, choose: random.Random) -> int:
        children = psutil.Process(self._server.pid).children()
        with suppress(psutil.Error):
            sessions = [one for one in children if " ".join(one.cmdline()).startswith(_SESSION)]
            if sessions:
                choose.choice(sessions).kill()
                return 1
        return 0

    async def _start(self) -> None:
        """Start the server; it refuses as long as sessions of the dead one are there."""
        give_up = time.monotonic() + _START_S
        while True:
            self._server.launch()
            while not self._server.has_ended():
                if await asyncio.to_thread(self._server.answers):
                    return
                await asyncio.sleep(_POLL_S)
            if time.monotonic() > give_up:
                raise RuntimeError("PostgreSQL does not start again")
            await asyncio.sleep(_POLL_S)

    async def _answering(self) -> None:
        await asyncio.sleep(_POLL_S)
        give_up = time.monotonic() + _START_S
        while not await asyncio.to_thread(self._server.answers):
            if self._server.has_ended() or time.monotonic() > give_up:
                raise RuntimeError("PostgreSQL does not answer any more")
            await asyncio.sleep(_POLL_S)

    async def remove(self) -> None:
        """End the server and delete its files."""
        await asyncio.to_thread(self._server.remove)


Database = Sqlite | PostgreSqlServer


def contents(url: str) -> Contents:
    """All that a library holds, by app. Raises what SQLAlchemy raises."""
    query = (
        select(app.c.name, face_group.c.name, person.c.name, person.c.info, face.c.token)
        .select_from(entry)
        .join(face, entry.c.face_id == face.c.id)
        .join(person, entry.c.person_id == person.c.id)
        .join(face_group, person.c.group_id == face_group.c.id)
        .join(app, face_group.c.app_id == app.c.id)
    )
    engine = create_engine(LibraryConfig(database=url).url(), poolclass=NullPool)
    found: dict[str, dict[Key, Person]] = {}
    with engine.connect() as connection:
        for name, group, user, info, token in connection.execute(query):
            people = found.setdefault(name, {})
            before = people.get((group, user), Person(info=info))
            people[group, user] = Person(before.tokens | {token}, info)
    return found
