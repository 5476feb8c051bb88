"""Real database servers for tests, and databases on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, inspect

from bench.kills.database_server import MariaDb, MissingProgramError, PostgreSql, Server
from library.sql.tables import METADATA
from library.store.store import Store
from settings.library import LibraryConfig

# Servers leave their files to the system's cache: no test cuts the power, and most make a database.
_POSTGRESQL = ("fsync=off",)
_MARIADB = (
    "--innodb-buffer-pool-size=64M",
    "--innodb-flush-log-at-trx-commit=2",
    "--skip-innodb-doublewrite",
)
# Of each server the database that the tests which need no new one use in turn.
_SHARED: dict[Server, str] = {}


def _started(make: Callable[[], Server]) -> Iterator[Server]:
    """A server until the tests are over; skips them where it is not installed."""
    try:
        server = make()
    except MissingProgramError as error:
        pytest.skip(str(error))
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server that all tests share."""
    yield from _started(lambda: PostgreSql(_POSTGRESQL))


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """A MariaDB server that all tests share."""
    yield from _started(lambda: MariaDb(_MARIADB))


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without rows, of each system in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/faces.db"
    server: Server = request.getfixturevalue(request.param)
    if server in _SHARED:
        _empty(_SHARED[server])
    else:
        _SHARED[server] = server.new_database()
    return _SHARED[server]


def _empty(url: str) -> None:
    """Delete all rows: much faster than making a database for every test."""
    engine = create_engine(LibraryConfig(database=url).url(), poolclass=NullPool)
    tables = set(inspect(engine).get_table_names())
    with engine.begin() as connection:
        for table in reversed(METADATA.sorted_tables):
            if table.name in tables:
                connection.execute(table.delete())


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens stores by URL and settings; all are closed when the test ends."""
    opened: list[Store] = []

    def open_(url: str, **settings: Any) -> Store:
        config = LibraryConfig.model_validate({"folder": tmp_path, "database": url, **settings})
        opened.append(Store(config))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(database_url: str, open_store: Callable[..., Store]) -> Store:
    """A store on an empty database, of each system in turn."""
    return open_store(database_url)
