"""The tables of a service's database, brought to the migrations of a release, up or down."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deploy.errors import DeployError
from gateway.auth.key_store import GATEWAY
from library.sql import schema
from library.sql.database import Database
from runtime.data_lock import DataLock, data_files
from settings.config import Config

_WANTED = re.compile(r"([A-Za-z0-9_]+),([A-Za-z0-9_]+)")


@dataclass(frozen=True)
class Migrations:
    """The newest migration of each group of tables; None where there are no tables yet."""

    library: str | None
    keys: str | None


def heads() -> Migrations:
    """Those that this software knows last."""
    return Migrations(schema.head(schema.LIBRARY), schema.head(GATEWAY))


def parsed(text: str) -> Migrations:
    """Of LIBRARY,KEYS. Raises DeployError."""
    found = _WANTED.fullmatch(text)
    if found is None:
        raise DeployError(f"--to {text}: two migrations are expected, such as 0002,0001")
    return Migrations(found[1], found[2])


def state(config: Config) -> Migrations:
    """Where the database is. Raises LibraryError."""
    database = Database(config.library_config(), bring_up=False)
    try:
        return Migrations(database.revision(schema.LIBRARY), database.revision(GATEWAY))
    finally:
        database.close()


def move(config: Config, wanted: Migrations) -> None:
    """Bring it there. Raises LibraryError, and ConfigError while a service has the data."""
    lock = DataLock(data_files(config))
    lock.take()
    try:
        database = Database(config.library_config(), bring_up=False)
        try:
            for tables, target in ((schema.LIBRARY, wanted.library), (GATEWAY, wanted.keys)):
                if target is not None:
                    database.move(tables, target)
        finally:
            database.close()
    finally:
        lock.release()
