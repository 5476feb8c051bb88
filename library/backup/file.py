"""Looking into backups: whether a file is one, and a connection to it.

Whoever sends a backup may have put anything into it. SQLite runs what a schema says, views and
triggers for instance, so nothing is asked of a file before its schema is the one that this
software makes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

from library.errors import BackupError, DatabaseError
from library.sql import schema, sqlite
from library.sql.database import Database
from runtime import sqlite_files
from settings.library import LibraryConfig

# Marks a file as a library: "face" in ASCII, SQLite's application_id.
APPLICATION_ID = 0x66616365
# What SQLite keeps for itself.
_OWN = ("sqlite_sequence", "sqlite_stat1", "sqlite_stat4")
# Longest row of a schema that is looked at; ours have some hundred characters.
_SQL_LENGTH = 10_000


def refuse_live(path: Path) -> None:
    """Raise BackupError backup_is_database for a database that this process uses."""
    if sqlite_files.is_live(path):
        raise BackupError("backup_is_database", f"{path}.")


def checksum_file(path: Path) -> Path:
    """Where the checksum of a backup is."""
    return path.with_name(f"{path.name}.sha256")


def sha256(path: Path) -> str:
    """The checksum of a file, as `sha256sum` writes it."""
    with _regular(path) as file:
        return _digest(file)


@contextmanager
def opened(path: Path) -> Iterator[Connection]:
    """A connection to a backup. One of an older version is brought up to date in a copy.

    Raises BackupError backup_is_database or backup_unreadable.
    """
    path = path.absolute()
    refuse_live(path)
    revision = _checked(path)
    if revision == _scripts().get_current_head():
        engine = create_engine("sqlite+pysqlite://", creator=lambda: sqlite.open_unchanging(path))
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()
        return
    with tempfile.TemporaryDirectory(prefix="library-") as folder:
        copy = Path(shutil.copy(path, folder))
        database = Database(LibraryConfig(database=f"sqlite:///{copy}"))
        try:
            with database.reading() as connection:
                yield connection
        finally:
            database.close()


def _checked(path: Path) -> str:
    """The revision of the tables in a file that is a backup, as it was written."""
    try:
        with _regular(path) as file:
            _check_start(path, file.read(100))
        checksum = checksum_file(path)
        if checksum.exists():
            with _regular(checksum) as file:
                expected = file.read(1000).decode("utf-8").split()[:1]
            if expected != [sha256(path)]:
                raise BackupError("backup_unreadable", f"{path} differs from {checksum.name}.")
        with closing(sqlite.open_unchanging(path)) as connection:
            revision = check_schema(path, connection)
            verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except DatabaseError as error:
        raise BackupError("backup_unreadable", f"{path}: {error.message}") from error
    except (OSError, UnicodeDecodeError, sqlite3.Error) as error:
        raise BackupError("backup_unreadable", f"{path}: {error}.") from error
    if verdict != "ok":
        raise BackupError("backup_unreadable", f"{path} is damaged.")
    return revision


def _check_start(path: Path, start: bytes) -> None:
    """https://www.sqlite.org/fileformat.html: the header's first 20 bytes, and bytes 68 to 71."""
    if start[:16] != b"SQLite format 3\0" or start[68:72] != APPLICATION_ID.to_bytes(4, "big"):
        raise BackupError("backup_unreadable", f"{path} is not a library's backup.")
    if start[18:20] != b"\x01\x01":
        # Others may be writing, and what they have written last is in a file beside it.
        raise BackupError("backup_unreadable", f"{path} is a database in use, not a backup.")


def check_schema(path: Path, connection: sqlite3.Connection) -> str:
    """Refuse every schema but that of a migration; the migration's name."""
    query = f"SELECT type, name, tbl_name, substr(sql, 1, {_SQL_LENGTH}) FROM sqlite_master"  # noqa: S608
    found = {_plain(*row) for row in connection.execute(query) if row[1] not in _OWN}
    (table,) = [one for one in expected("head") if one[1] == schema.LIBRARY.version_table]
    if table not in found:
        raise BackupError("backup_unreadable", f"{path} does not say of which version it is.")
    query = f"SELECT version_num FROM {schema.LIBRARY.version_table} LIMIT 2"  # noqa: S608
    rows = connection.execute(query).fetchall()
    known = {script.revision for script in _scripts().walk_revisions()}
    if len(rows) != 1 or rows[0][0] not in known:
        shown = ", ".join(str(row[0])[:40] for row in rows) or "none"
        raise BackupError("backup_unreadable", f"{path}: unknown version {shown}.")
    (revision,) = rows[0]
    foreign = sorted(one[1] for one in found ^ expected(revision))
    if foreign:
        names = ", ".join(name[:40] for name in foreign[:3])
        raise BackupError("backup_unreadable", f"{path}: it has other tables than ours: {names}.")
    return str(revision)


def foreign(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """(type, name) of what a database has beside the library's tables, in an order to drop it."""
    order = ("trigger", "view", "index", "table")
    own = {one[:3] for one in expected("head")}
    rows = connection.execute("SELECT type, name, tbl_name FROM sqlite_master").fetchall()
    found = [(row[0], row[1]) for row in rows if tuple(row) not in own and row[1] not in _OWN]
    # What a table or a constraint brings along goes with it.
    found = [one for one in found if not one[1].startswith("sqlite_")]
    return sorted(found, key=lambda one: order.index(one[0]))


@cache
def expected(revision: str) -> frozenset[tuple[str, str, str, str]]:
    """What `sqlite_master` says after the migrations up to a revision."""
    engine = create_engine("sqlite+pysqlite://")
    with engine.begin() as connection:
        config = schema.LIBRARY.config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        rows = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master")
        made = frozenset(_plain(*row) for row in rows if row[1] not in _OWN)
    engine.dispose()
    return made


def _plain(kind: object, name: object, table: object, sql: object) -> tuple[str, str, str, str]:
    """A row of `sqlite_master`, whatever the white space in its statement."""
    return str(kind), str(name), str(table), re.sub(r"\s+", "", str(sql)).lower()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(schema.LIBRARY.config())


@contextmanager
def _regular(path: Path) -> Iterator[IO[bytes]]:
    """A regular file; a pipe would be waited for. Raises OSError and BackupError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BackupError("backup_unreadable", f"{path} is not a file.")
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
