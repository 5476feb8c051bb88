"""SQLite's connections: durable, patient, and never to a file that is no longer there."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError

from library.errors import DatabaseError
from library.sql.faults import translated
from runtime import sqlite_files
from runtime.file_identity import identity

# Bytes a page, of new databases. 512-d embeddings take 2 KiB: larger pages waste less of
# themselves, smaller ones make smaller commits.
PAGE_SIZE = 8192
# KiB of pages that a connection keeps.
CACHE_KIB = 16_384


def make_engine(url: URL, file: Path, timeout_s: float, **pool: Any) -> Engine:
    """An engine for one file. It never makes the file: see `create`.

    A write transaction is begun by the execution option `writes`, and takes its lock at once: a
    transaction that reads first cannot be continued once another process has written.
    """

    def connect() -> sqlite3.Connection:
        return open_file(file, timeout_s)

    sqlite_files.note(file)
    engine = create_engine(url, creator=connect, **pool)

    @event.listens_for(engine, "connect")
    def _note_file(connection: sqlite3.Connection, record: Any) -> None:
        record.info["file"] = identity(file)

    @event.listens_for(engine, "checkout")
    def _same_file(connection: sqlite3.Connection, record: Any, _: Any) -> None:
        # A file that was replaced, by a copy put back for instance, would take writes that
        # nobody will read.
        if record.info["file"] != identity(file):
            raise DisconnectionError("the database file is another one now")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("writes"):
            _begin_immediate(connection, timeout_s)
        elif options.get("transactions", True):
            connection.exec_driver_sql("BEGIN")

    return engine


def open_unchanging(file: Path) -> sqlite3.Connection:
    """A connection to a file that nobody changes; it also may lie where nothing can be written.

    Nothing in it is trusted: https://www.sqlite.org/security.html.
    """
    connection = sqlite3.connect(
        f"{_address(file, 'ro')}&immutable=1", uri=True, check_same_thread=False
    )
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def create(file: Path, timeout_s: float) -> None:
    """Make the file, where it is missing, as an empty database with a write-ahead log.

    Several processes may do so at once. Raises DatabaseError.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sqlite_files.make(file)
    except OSError as error:
        raise DatabaseError("database_unavailable", f"{file}: {error.strerror}.") from None
    deadline = time.monotonic() + timeout_s
    connection = sqlite3.connect(_address(file, "rw"), uri=True, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        while True:
            try:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as error:
                # SQLite does not wait by itself for this lock.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)
    except sqlite3.Error as error:
        raise translated(DBAPIError("", None, error)) from error
    finally:
        connection.close()
    if mode != "wal":
        raise DatabaseError("database_unavailable", f"{file}: no write-ahead log is possible here.")


def open_file(file: Path, timeout_s: float) -> sqlite3.Connection:
    """A connection to an existing file that answers a COMMIT once it is on the disk."""
    connection = sqlite3.connect(
        _address(file, "rw"),
        uri=True,
        timeout=timeout_s,
        # SQLAlchemy's pool hands a connection to one thread at a time.
        check_same_thread=False,
        isolation_level=None,
    )
    try:
        for pragma in (
            "synchronous = FULL",
            "foreign_keys = ON",
            # What was deleted is overwritten, so that no face is left in free pages.
            "secure_delete = ON",
            f"cache_size = -{CACHE_KIB}",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _address(file: Path, mode: str) -> str:
    return f"file:{quote(str(file))}?mode={mode}"


def _begin_immediate(connection: Connection, timeout_s: float) -> None:
    """Take the lock for writing.

    SQLite's own waiting sleeps up to 0.1 s between two attempts, too long to ever get in between
    the transactions of a process that imports.
    """
    deadline = time.monotonic() + timeout_s
    with _waiting(connection, 0, timeout_s):
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return
            except OperationalError as error:
                if "locked" not in str(error.orig) or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(0.0005, 0.004))  # noqa: S311 - no secret


def empty_log(connection: Connection, timeout_s: float) -> None:
    """Move the write-ahead log into the database and cut it to nothing, unless it is in use."""
    with _waiting(connection, 0.2, timeout_s):
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()


@contextmanager
def _waiting(connection: Connection, seconds: float, usually_s: float) -> Iterator[None]:
    """SQLite waits so long for others' locks, and as long as usual afterwards."""
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
    try:
        yield
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {round(usually_s * 1000)}")


def quoted(name: str) -> str:
    """A table's, a column's or an index's name as it stands in a statement."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
