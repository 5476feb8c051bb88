"""A database beside the live one, on the same server or disk, that is gone afterwards.

SQLite: a file in a folder of its own beside the backups. PostgreSQL: a schema of the same database.
MariaDB and MySQL: another database. What a drill that was killed has left behind goes with the
next one; only one runs at a time.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from deploy.errors import DeployError
from library.sql.database import Database
from settings.library import IndexConfig, LibraryConfig

_FOLDER = ".drill-"
_NAME = re.compile(r"face_drill_[0-9a-f]{16}")
# Of a lock between drills; no other program's.
_LOCK_NUMBER, _LOCK_NAME = 0x6661636564726C, "face_drill"
_BUSY = "another drill is under way"
_NAMES = {
    "postgresql": "SELECT nspname FROM pg_namespace",
    "mysql": "SELECT schema_name FROM information_schema.schemata",
}
_MAKE = {"postgresql": "CREATE SCHEMA", "mysql": "CREATE DATABASE"}
_DROP = {"postgresql": "DROP SCHEMA {} CASCADE", "mysql": "DROP DATABASE {}"}


class _Beside(LibraryConfig):
    """The settings of the live library, but for where the tables are. name: of the place."""

    name: str

    def url(self) -> URL:
        """The live server's, with another schema or database."""
        url = super().url()
        if _system(url) == "postgresql":
            given = url.query.get("options", "")
            before = given if isinstance(given, str) else " ".join(given)
            return url.update_query_dict(
                {"options": f"{before} -c search_path={self.name}".strip()}
            )
        return url.set(database=self.name)


@contextmanager
def place_beside(live: LibraryConfig) -> Iterator[LibraryConfig]:
    """Settings of an empty library that exists inside the block only.

    Raises DeployError where it cannot be made, or another drill has one.
    """
    making = _file_beside if live.database_file() is not None else _tables_beside
    with making(live) as config:
        yield config


@contextmanager
def _file_beside(live: LibraryConfig) -> Iterator[LibraryConfig]:
    folder = live.backup_dir()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DeployError(f"{folder}: {_BUSY}") from None
        for left in folder.glob(f"{_FOLDER}*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_FOLDER, dir=folder) as name:
            file = Path(name) / "library.db"
            yield _settings(live).model_copy(update={"database": f"sqlite:///{file}"})
    finally:
        os.close(descriptor)


@contextmanager
def _tables_beside(live: LibraryConfig) -> Iterator[LibraryConfig]:
    name = f"face_drill_{secrets.token_hex(8)}"
    database = Database(live, bring_up=False)
    system = _system(live.url())
    try:
        with database.engine.connect() as opened:
            connection = opened.execution_options(isolation_level="AUTOCOMMIT")
            _lock(connection, system)
            for left in connection.scalars(text(_NAMES[system])).all():
                if _NAME.fullmatch(str(left)):
                    connection.execute(text(_DROP[system].format(left)))
            connection.execute(text(f"{_MAKE[system]} {name}"))
            try:
                yield _Beside(**dict(_settings(live)), name=name)
            finally:
                connection.execute(text(_DROP[system].format(name)))
                with suppress(SQLAlchemyError):  # the connection's end does it as well
                    _unlock(connection, system)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[:1]
        raise DeployError(
            f"no place for the drill on the database's server: {' '.join(reason)}; its user has to "
            f"have the right to {_MAKE[system].lower()}"
        ) from None
    finally:
        database.close()


def _settings(live: LibraryConfig) -> LibraryConfig:
    """Without an index elsewhere and without limits of rows: a drill is about the database."""
    return live.model_copy(update={"index": IndexConfig(snapshot_dir="")})


def _system(url: URL) -> str:
    name = url.get_backend_name()
    return "mysql" if name == "mariadb" else name


def _lock(connection: Connection, system: str) -> None:
    if system == "postgresql":
        query = text("SELECT pg_try_advisory_lock(:it)")
        got = connection.scalar(query, {"it": _LOCK_NUMBER})
    else:
        got = connection.scalar(text("SELECT GET_LOCK(:it, 0)"), {"it": _LOCK_NAME})
    if not got:
        raise DeployError(_BUSY)


def _unlock(connection: Connection, system: str) -> None:
    if system == "postgresql":
        connection.execute(text("SELECT pg_advisory_unlock(:it)"), {"it": _LOCK_NUMBER})
    else:
        connection.execute(text("SELECT RELEASE_LOCK(:it)"), {"it": _LOCK_NAME})
