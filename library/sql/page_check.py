"""A look at SQLite's pages while the library is used: what is damaged is known before it is read.

Connections keep pages that they have read, and many pages are seldom read: a disk that loses some
would be noticed at the next start. A small database is checked as a whole, with SQLite's own
quick_check; of a larger one every table and index is walked through in portions, so that neither
the searches' cores are taken nor the write-ahead log is held back.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from library.sql import sqlite
from library.sql.database import Database
from library.sql.faults import translated

# Bytes of a database that is checked as a whole: some tenths of a second.
SMALL = 32 * 1024 * 1024
# Rows or entries in one portion, and how much longer than a portion the pause after it is.
PORTION = 2000
_PAUSES = 50
_LONGEST_PAUSE_S = 1.0
# How often is looked whether anybody has met damage, and how soon a damaged one is checked again.
_TICK_S = 0.5
_AGAIN_S = 5.0


class PageCheck:
    """Checks in the background; `Database.damage` says what is wrong until a check finds nothing.

    interval_s: between two checks; 0: only after somebody has met damage.
    """

    def __init__(self, database: Database, interval_s: float) -> None:
        self._database = database
        self._interval_s = interval_s
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, where the database is SQLite: servers look after their files themselves."""
        file = self._database.file
        if file is not None:
            self._thread = threading.Thread(
                target=self._run, args=(file,), name="page-check", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """End; a portion that is under way is waited for."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, file: Path) -> None:
        checked, seen = time.monotonic(), None
        while not self._ending.wait(_TICK_S):
            damage = self._database.damage
            passed = time.monotonic() - checked
            is_due = 0 < self._interval_s <= passed
            if damage is not seen or is_due or (damage is not None and passed >= _AGAIN_S):
                self._check(file)
                checked, seen = time.monotonic(), self._database.damage

    def _check(self, file: Path) -> None:
        before = self._database.damage
        try:
            for pause in _looks(file):
                if self._ending.wait(pause):
                    return
        except OSError:
            return
        except sqlite3.Error as error:
            found = translated(DBAPIError("", None, error))
            # What else goes wrong, whoever needs the database is told.
            if found.code != "database_damaged":
                return
        else:
            # Somebody may have met damage meanwhile.
            if self._database.damage is before:
                self._database.damage = None
                if before is not None:
                    _log().warning("the database: its pages are well again")
            return
        if before is None:
            _log().error("the database: pages are damaged: %s", " ".join(found.message.split()))
        self._database.damage = found


def _log() -> logging.Logger:
    # Asked for when it is needed: Paddle Serving silences the loggers that are there before it,
    # and the store is imported by programs that import that later.
    return logging.getLogger("library")


def _looks(file: Path) -> Iterator[float]:
    """Look at one portion after the other; yields for how long to pause after each, in seconds.

    Raises sqlite3.DatabaseError for damage.
    """
    with closing(sqlite.open_file(file, 1.0)) as connection:
        connection.execute("PRAGMA query_only = ON")
        # What was read once is not asked for again.
        connection.execute("PRAGMA cache_size = -512")
        if file.stat().st_size <= SMALL:
            rows = connection.execute("PRAGMA quick_check(1)").fetchall()
            if rows != [("ok",)]:
                raise sqlite3.DatabaseError(f"malformed: {rows[0][0]}")
            return
        for query, columns in _walks(connection):
            last: Sequence[Any] = ()
            while True:
                started = time.monotonic()
                where = f"WHERE ({columns}) > ({', '.join('?' * len(last))})" if last else ""
                rows = connection.execute(query.format(where), last).fetchall()
                yield min((time.monotonic() - started) * _PAUSES, _LONGEST_PAUSE_S)
                if not rows or None in rows[0]:
                    break
                last = rows[0]


def _walks(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """For each table and each index a query of one portion's last key, and the key's columns.

    {} in the query is where the portion's beginning goes.
    """
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for table in (sqlite.quoted(name) for (name,) in names):
        yield _portion(table, "NOT INDEXED", "rowid"), "rowid"
        for _, index, *_ in connection.execute(f"PRAGMA index_list({table})").fetchall():
            info = connection.execute(f"PRAGMA index_info({sqlite.quoted(index)})").fetchall()
            if all(row[2] is not None for row in info):
                columns = ", ".join(sqlite.quoted(row[2]) for row in info)
                yield _portion(table, f"INDEXED BY {sqlite.quoted(index)}", columns), columns


def _portion(table: str, index: str, columns: str) -> str:
    # The names are the database's own, and quoted.
    return (
        f"SELECT {columns} FROM {table} {index} {{}} "  # noqa: S608
        f"ORDER BY {columns} LIMIT 1 OFFSET {PORTION - 1}"
    )
