"""The way to the database: connections, transactions, retries."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from library.errors import DatabaseError
from library.sql import schema, sqlite
from library.sql.faults import RETRY, code_of, translated
from library.sql.tables import METADATA
from settings.library import LibraryConfig

T = TypeVar("T")

# A transaction that lost against another one is tried so often, with growing random pauses.
ATTEMPTS = 10
# Connections kept open, and further ones under load: a thread that calls the store takes one for
# milliseconds. PostgreSQL admits 100 from all processes together, unless it is told otherwise.
POOL_SIZE = 4
POOL_OVERFLOW = 12


class Database:
    """Transactions on the configured database. Thread safe.

    Opening makes the tables or brings them up to date. It raises DatabaseError.

    written: time.monotonic() of the last commit. refusal: why the last write was not taken, None
        once one was. damage: what was met of SQLite's file; only a look at all of it takes it back.
    """

    def __init__(self, config: LibraryConfig, bring_up: bool = True) -> None:
        """bring_up: False leaves the tables as they are, for whoever moves them; see `move`."""
        self._timeout_s = config.database_timeout_s
        self._process = os.getpid()
        self.written = float("-inf")
        self.refusal: DatabaseError | None = None
        self.damage: DatabaseError | None = None
        url = config.url()
        self.backend = url.get_backend_name()
        self.file = config.database_file()
        if self.file is not None:
            sqlite.create(self.file, self._timeout_s)
            self.engine = sqlite.make_engine(url, self.file, self._timeout_s, **self._pool())
        else:
            self.engine = _server_engine(url, self._timeout_s, self._pool())
        self._turn = self._new_turn()
        try:
            if bring_up:
                self.bring_up(schema.LIBRARY)
        except BaseException:
            self.close()
            raise

    def bring_up(self, tables: schema.Schema) -> None:
        """Make tables, or bring them up to date; those of the library are so already."""
        with self._translating():
            schema.upgrade(self.engine, self._timeout_s, tables)

    def revision(self, tables: schema.Schema) -> str | None:
        """The newest migration that the database has; None before the first."""
        with self.reading() as connection:
            return schema.revision(connection, tables)

    def move(self, tables: schema.Schema, target: str) -> None:
        """Run migrations up or down to one of them."""
        with self._translating():
            schema.move(self.engine, self._timeout_s, tables, target)

    def _new_turn(self) -> AbstractContextManager[Any]:
        """SQLite has one writer at a time: the threads of this process queue up for it here."""
        return nullcontext() if self.file is None else _Turn(self._timeout_s)

    def _settle_in(self) -> None:
        """After a fork, connections and locks are those of the parent: leave them to it."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._turn = self._new_turn()
            self.engine.dispose(close=False)

    def _pool(self) -> dict[str, Any]:
        return {
            "pool_size": POOL_SIZE,
            "max_overflow": POOL_OVERFLOW,
            "pool_timeout": self._timeout_s,
            # The statement's parameters are biometric data and must not reach a log.
            "hide_parameters": True,
        }

    def close(self) -> None:
        """Close the connections that are not in use."""
        self.engine.dispose()

    @contextmanager
    def reading(self, consistent: bool = False) -> Iterator[Connection]:
        """A connection for reading; consistent: all statements see the same moment."""
        self._settle_in()
        with self._translating(), self.engine.connect() as connection:
            if consistent and self.backend != "sqlite":
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction and commit it; what `work` returned.

        `work` runs again from its beginning when the transaction lost against another one.
        Whatever it raises undoes the transaction.
        """
        self._settle_in()
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._turn, self.engine.connect() as connection:
                    connection.execution_options(writes=True)
                    with connection.begin():
                        done = work(connection)
            except SQLAlchemyError as error:
                if code_of(error) != RETRY or attempt == ATTEMPTS:
                    raise self._refused(error) from error
            else:
                self.written, self.refusal = time.monotonic(), None
                return done
            time.sleep(random.uniform(0.001, 0.01) * attempt)  # noqa: S311 - no secret

    def erase(self, work: Callable[[Connection], T]) -> T:
        """As `write`, for work that deletes: SQLite's log is emptied of what it had."""
        done = self.write(work)
        self._empty_log()
        return done

    def compact(self) -> None:
        """Write the database's files anew, without what was deleted."""
        with self._outside_transactions() as connection:
            if self.backend == "sqlite":
                connection.exec_driver_sql("VACUUM")
            for table in METADATA.sorted_tables:
                name = connection.dialect.identifier_preparer.format_table(table)
                if self.backend == "postgresql":
                    connection.exec_driver_sql(f"VACUUM FULL {name}")
                elif self.backend != "sqlite":
                    connection.exec_driver_sql(f"OPTIMIZE TABLE {name}")
        self._empty_log()

    def _empty_log(self) -> None:
        """Empty SQLite's log, in which rows stand as they were before they were deleted.

        The deletion has been committed, so this must not fail. Where it cannot be done now, as
        others still read from the log, the next deletion or the last connection's end does it.
        """
        if self.backend == "sqlite":
            with suppress(DatabaseError), self._outside_transactions() as connection:
                sqlite.empty_log(connection, self._timeout_s)

    @contextmanager
    def _outside_transactions(self) -> Iterator[Connection]:
        """A connection for statements that no transaction may hold, such as VACUUM."""
        self._settle_in()
        with self._turn, self._translating(), self.engine.connect() as connection:
            if self.backend == "sqlite":
                yield connection.execution_options(transactions=False)
            else:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise self._settled(error) from error

    def _refused(self, error: SQLAlchemyError) -> DatabaseError:
        """As `_settled`, of a write: one that met a lock says nothing of the next."""
        told = self._settled(error)
        if told.code != "database_locked":
            self.refusal = told
        return told

    def _settled(self, error: SQLAlchemyError) -> DatabaseError:
        """The library's error, after which the next call starts from a clean state."""
        told = translated(error)
        if told.code in ("database_read_only", "database_damaged"):
            # A connection that was opened while the database was so stays so.
            self.engine.dispose()
        if told.code == "database_damaged" and self.file is not None:
            self.damage = told
        return told


class _Turn:
    """A lock between threads that is waited for no longer than a given time."""

    def __init__(self, timeout_s: float) -> None:
        self._lock = threading.Lock()
        self._timeout_s = timeout_s

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=self._timeout_s):
            raise DatabaseError("database_locked", "Another thread of this process is writing.")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _options(url: URL) -> str:
    """Settings of PostgreSQL that the address asks for, such as ``-c search_path=...``."""
    given = url.query.get("options", ())
    return "".join(f"{one} " for one in ([given] if isinstance(given, str) else given))


def _server_engine(url: URL, timeout_s: float, pool: dict[str, Any]) -> Engine:
    """An engine for PostgreSQL, MySQL or MariaDB.

    A connection is tried before it is used, so that a server that was away is found again.
    """
    seconds = max(1, round(timeout_s))
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": max(2, seconds),
                "options": f"{_options(url)}-c lock_timeout={round(timeout_s * 1000)} "
                "-c client_encoding=UTF8",
                # A server that vanished without a word is noticed within about this time.
                "tcp_user_timeout": seconds * 1000,
                "keepalives_idle": seconds,
                "keepalives_interval": 1,
                "keepalives_count": 5,
                # A prepared statement's plan does not know its values: with long lists of them
                # in a table without statistics yet it compares each row with each value.
                "prepare_threshold": None,
            },
            **pool,
        )
    return create_engine(
        url,
        pool_pre_ping=True,
        # The default, REPEATABLE READ, locks gaps that other apps' rows fall into.
        isolation_level="READ COMMITTED",
        connect_args={
            "connect_timeout": seconds,
            # Of rows, and of tables, which `compact` locks.
            "init_command": f"SET SESSION innodb_lock_wait_timeout = {seconds}, "
            f"lock_wait_timeout = {seconds}",
            "charset": "utf8mb4",
        },
        **pool,
    )
