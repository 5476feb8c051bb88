"""The rows of a backup: each could have been written by the store, or nothing is put back.

Everything is looked at before anything is changed. SQLite keeps any value in any column, so the
kinds of values are looked at, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from library.errors import BackupError, LibraryError
from library.validation import (
    MAX_DIM,
    UNIT_TOLERANCE,
    Validator,
    finite_number,
    is_unit,
    model_name,
)

# Above it there is room for all that will ever be added: SQLite takes no row more after 2^63 - 1.
MAX_NUMBER = 2**62
# The last millisecond of the year 9999, the last that has a date.
MAX_TIME = 253_402_300_799_999
_KEY = re.compile("[0-9a-f]{64}")
ROWS_AT_ONCE = 1000
CROPS_AT_ONCE = 50

# Names of the row that is looked at, and its values by column.
Values = dict[str, Any]

# What has to be there for each row, and a sentence for where it is not.
_REFERENCES = (
    ("face_group", "app_id NOT IN (SELECT id FROM app)", "its app is missing"),
    ("person", "group_id NOT IN (SELECT id FROM face_group)", "its group is missing"),
    ("face", "app_id NOT IN (SELECT id FROM app)", "its app is missing"),
    (
        "face",
        "NOT EXISTS (SELECT 1 FROM app WHERE app.id = face.app_id"
        " AND app.model = face.model AND app.dim = face.dim)",
        "it is of another recogniser than its app",
    ),
    ("crop", "face_id NOT IN (SELECT id FROM face)", "its face is missing"),
    (
        "entry",
        "NOT EXISTS (SELECT 1 FROM face WHERE face.id = entry.face_id"
        " AND face.app_id = entry.app_id)",
        "its face is missing",
    ),
    (
        "entry",
        "NOT EXISTS (SELECT 1 FROM person JOIN face_group ON face_group.id = person.group_id"
        " WHERE person.id = entry.person_id AND face_group.id = entry.group_id"
        " AND face_group.app_id = entry.app_id)",
        "its user is not in its group",
    ),
    (
        "entry",
        "version < 1 OR version > (SELECT version FROM app WHERE app.id = entry.app_id)",
        "it is newer than its app",
    ),
)


def check_rows(source: Connection, check: Validator) -> None:
    """Look at every row. Raises BackupError backup_unreadable that says which one is bad."""
    # Bytes that are no text come to the checks as what no text may have.
    raw: Any = source.connection.driver_connection
    raw.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    try:
        _check_tables(source, check)
        _check_references(source)
    except DBAPIError as error:
        raise BackupError("backup_unreadable", f"{error.orig}.") from None


def _check_tables(source: Connection, check: Validator) -> None:
    checks: dict[str, Callable[[Values, Validator], None]] = {
        "app": _app,
        "face_group": _group,
        "person": _person,
        "face": _face,
        "crop": _crop,
        "entry": _entry,
        "token_key": _token_key,
    }
    for table, look in checks.items():
        for rows in _pages(source, table):
            for row in rows:
                try:
                    look(row, check)
                except LibraryError as error:
                    raise _bad(table, _key_of(row), error.message) from None
            if table == "face":
                _check_lengths(rows)


def _check_references(source: Connection) -> None:
    for table, missing, what in _REFERENCES:
        key = "face_id" if table == "crop" else "id"
        query = f"SELECT {key} FROM {table} WHERE {missing} LIMIT 1"  # noqa: S608 - constants
        found = source.exec_driver_sql(query).scalar()
        if found is not None:
            raise _bad(table, found, f"{what}.")


def _pages(source: Connection, table: str) -> Iterator[Sequence[Values]]:
    """A table's rows, as SQLite has them, in the order of their keys."""
    key, size = ("face_id", CROPS_AT_ONCE) if table == "crop" else ("id", ROWS_AT_ONCE)
    query = f"SELECT * FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT {size}"  # noqa: S608
    first = source.exec_driver_sql(f"SELECT min({key}) FROM {table}").scalar()  # noqa: S608
    if first is None:
        return
    last = _integer(table, key, first, 1, MAX_NUMBER) - 1
    while True:
        rows = source.exec_driver_sql(query, (last,)).mappings().all()
        if not rows:
            return
        yield [dict(row) for row in rows]
        last = _integer(table, key, rows[-1][key], 1, MAX_NUMBER)


def _app(row: Values, check: Validator) -> None:
    _check_numbers("app", row, "version", "removals_floor", "faces", "entries", least=0)
    check.app(row["name"])
    if not isinstance(row["origin"], str) or not row["origin"].isalnum() or len(row["origin"]) > 32:
        raise _bad("app", _key_of(row), "its origin is none.")
    if (row["model"] is None) != (row["dim"] is None):
        raise _bad("app", _key_of(row), "it has half a recogniser.")
    if row["model"] is not None:
        model_name(row["model"])
        _integer("app", "dim", row["dim"], 1, MAX_DIM)


def _group(row: Values, check: Validator) -> None:
    _check_numbers("face_group", row, "app_id")
    check.group(row["name"])


def _person(row: Values, check: Validator) -> None:
    _check_numbers("person", row, "group_id")
    check.user(row["name"])
    check.info(row["info"])


def _face(row: Values, check: Validator) -> None:
    _check_numbers("face", row, "app_id")
    check.token(row["token"])
    model_name(row["model"])
    dim = _integer("face", "dim", row["dim"], 1, MAX_DIM)
    if not isinstance(row["embedding"], bytes) or len(row["embedding"]) != 4 * dim:
        raise _bad("face", _key_of(row), f"its embedding is not {dim} numbers.")
    if row["metadata"] is not None:
        check.metadata(row["metadata"])
    if row["quality"] is not None:
        if not isinstance(row["quality"], (int, float)):
            raise _bad("face", _key_of(row), "its quality is no number.")
        finite_number("quality", row["quality"])


def _check_lengths(rows: Sequence[Values]) -> None:
    """The embeddings of faces that are good otherwise: finite, of unit length."""
    by_dim: dict[int, list[Values]] = {}
    for row in rows:
        by_dim.setdefault(row["dim"], []).append(row)
    for dim, some in by_dim.items():
        joined = b"".join(row["embedding"] for row in some)
        vectors = np.frombuffer(joined, "<f4").reshape(-1, dim)
        # As an enrolment has left them, but for the last digit of the length itself.
        bad = np.flatnonzero(~is_unit(vectors, 1.001 * UNIT_TOLERANCE))
        if bad.size:
            raise _bad("face", _key_of(some[bad[0]]), "its embedding is not of unit length.")


def _crop(row: Values, check: Validator) -> None:
    _integer("crop", "face_id", row["face_id"], 1, MAX_NUMBER)
    if not isinstance(row["png"], bytes):
        raise _bad("crop", _key_of(row), "it is no picture.")
    check.crop(row["png"])


def _entry(row: Values, _: Validator) -> None:
    for name in ("id", "app_id", "group_id", "person_id", "face_id", "version"):
        _integer("entry", name, row[name], 1, MAX_NUMBER)


def _token_key(row: Values, _: Validator) -> None:
    _integer("token_key", "id", row["id"], 1, 1)
    if not isinstance(row["secret"], str) or not _KEY.fullmatch(row["secret"]):
        raise _bad("token_key", row["id"], "its secret is not 64 hexadecimal digits.")


def _check_numbers(table: str, row: Values, *names: str, least: int = 1) -> None:
    _integer(table, "id", row["id"], 1, MAX_NUMBER)
    _integer(table, "created", row["created"], 0, MAX_TIME, row["id"])
    for name in names:
        _integer(table, name, row[name], least, MAX_NUMBER, row["id"])


def _integer(
    table: str, name: str, value: object, least: int, most: int, key: int | None = None
) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise _bad(table, value if key is None else key, f"{name} is not {least} to {most}.")
    return value


def _key_of(row: Values) -> object:
    return row["id"] if "id" in row else row["face_id"]


def _bad(table: str, key: object, what: str) -> BackupError:
    shown = key if isinstance(key, int) else "without a number"
    return BackupError("backup_unreadable", f"Table {table}, row {shown}: {what}")
