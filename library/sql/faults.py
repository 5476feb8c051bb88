"""What the drivers' exceptions mean, in the library's codes.

Three drivers tell the same things in three ways: SQLite in sentences (Python 3.9 hides its
numbers), PostgreSQL in SQLSTATEs, MySQL and MariaDB in numbers.
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from library.errors import DatabaseError

# The transaction lost against another one and can simply be tried again.
RETRY = "retry"

# Sentences of SQLite's result codes (sqlite3_errstr): BUSY, LOCKED, FULL, IOERR, READONLY,
# CANTOPEN, CORRUPT, NOTADB, and what Python's module says of a missing table.
_SQLITE = (
    ("locked", "database_locked"),
    ("is full", "database_full"),
    ("disk i/o error", "database_unavailable"),
    ("readonly", "database_read_only"),
    ("unable to open", "database_unavailable"),
    ("malformed", "database_damaged"),
    ("not a database", "database_damaged"),
    ("no such table", "database_unavailable"),
    ("schema has changed", RETRY),
)

# SQLSTATEs, most specific first: "PostgreSQL Error Codes", appendix A of its manual.
_POSTGRESQL = (
    ("40001", RETRY),  # serialization_failure
    ("40P01", RETRY),  # deadlock_detected
    ("55P03", "database_locked"),  # lock_not_available
    ("53100", "database_full"),  # disk_full
    ("25006", "database_read_only"),  # read_only_sql_transaction
    ("42501", "database_read_only"),  # insufficient_privilege
    ("42P01", "database_unavailable"),  # undefined_table
    ("3D000", "database_unavailable"),  # invalid_catalog_name
    ("53", "database_unavailable"),  # insufficient resources
    ("57", "database_unavailable"),  # operator intervention: shutdown, crash
    ("08", "database_unavailable"),  # connection exception
    ("28", "database_unavailable"),  # invalid authorization
    ("58", "database_unavailable"),  # system error
    ("XX001", "database_damaged"),  # data_corrupted
    ("XX002", "database_damaged"),  # index_corrupted
)

# Numbers of the server (up to 1999, and 4xxx) and of the client (2xxx): MariaDB's "Error Codes".
_MYSQL = {
    1213: RETRY,  # deadlock
    1020: RETRY,  # record has changed since last read
    1205: "database_locked",  # lock wait timeout
    3: "database_full",  # error writing file
    1021: "database_full",  # disk full
    1026: "database_full",  # error writing file
    1114: "database_full",  # table is full
    1290: "database_read_only",  # --read-only
    1792: "database_read_only",  # read-only transaction
    1836: "database_read_only",  # read-only mode
    1142: "database_read_only",  # command denied
    1034: "database_damaged",  # incorrect key file
    1712: "database_damaged",  # index corrupted
}

_UNKNOWN = "database_unavailable"


def translated(error: SQLAlchemyError) -> DatabaseError:
    """The library's error for one of SQLAlchemy's; anything unknown is database_unavailable."""
    code = code_of(error)
    if code == RETRY:
        code = "database_locked"
    if isinstance(error, DBAPIError):
        return DatabaseError(code, f"{type(error.orig).__name__}: {_first_line(error)}.")
    if isinstance(error, PoolTimeoutError):
        return DatabaseError(code, "All connections of this process are in use.")
    return DatabaseError(code, f"{type(error).__name__}.")


def code_of(error: SQLAlchemyError) -> str:
    """The code of an error, or RETRY."""
    if isinstance(error, PoolTimeoutError):
        return "database_locked"
    if isinstance(error, IntegrityError):
        # Checks come before every write, so that this is a race: the other one is visible now.
        return RETRY
    if not isinstance(error, DBAPIError):
        return "database_unavailable"
    origin = error.orig
    number = origin.args[0] if origin is not None and origin.args else None
    if isinstance(number, int):
        return _MYSQL.get(number, _UNKNOWN)
    # PyMySQL's exceptions have this as well, but say less with it than with the number.
    state = getattr(origin, "sqlstate", None)
    if state:
        return next((code for start, code in _POSTGRESQL if state.startswith(start)), _UNKNOWN)
    text = str(origin).lower()
    return next((code for sentence, code in _SQLITE if sentence in text), _UNKNOWN)


def _first_line(error: DBAPIError) -> str:
    """What the driver says, without the statement and its parameters: they hold embeddings."""
    origin = error.orig
    args = origin.args if origin is not None else ()
    text = str(args[1] if len(args) > 1 else origin)
    line = (text.splitlines() or [""])[0]
    return " ".join(line.split())[:200].rstrip(".")
