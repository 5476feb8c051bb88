"""Backups: one file for all databases, consistent, written while the library is used.

A backup is itself a library in SQLite's format, whatever database it comes from, so that it can
be put back into any of them and be looked into with any SQLite. Beside it lies its checksum.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, delete, func, insert, select, text

from library.backup.file import (
    APPLICATION_ID,
    check_schema,
    checksum_file,
    foreign,
    opened,
    refuse_live,
    sha256,
)
from library.backup.row_checks import check_rows
from library.errors import BackupError, LibraryError
from library.sql import sqlite
from library.sql.database import Database
from library.sql.rows import moment, now_ms
from library.sql.tables import (
    app,
    crop,
    entry,
    face,
    face_group,
    new_embedding,
    person,
    removal,
    token_key,
)
from library.sql.tables import backup as backup_table
from library.validation import Validator
from runtime import sqlite_files
from settings.library import LibraryConfig

# What is put back, in the order that references ask for. Removals are not: indexes start anew.
TABLES = (app, face_group, person, face, crop, entry, token_key)
ROWS_AT_ONCE = 1000
CROPS_AT_ONCE = 100

# Called with how many rows are done, and how many there are.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BackupRecord:
    """A backup that was written. path: absolute. created: when, in UTC."""

    path: Path
    created: datetime


def records(database: Database) -> list[BackupRecord]:
    """The backups that were written from this database, oldest first."""
    query = select(backup_table.c.path, backup_table.c.created).order_by(backup_table.c.created)
    with database.reading() as connection:
        rows = connection.execute(query).all()
    return [BackupRecord(Path(path), moment(created)) for path, created in rows]


def write(database: Database, path: Path, progress: Progress | None = None) -> None:
    """Write a backup; `path` appears when it is complete, in place of one that was there."""
    path = path.absolute()
    refuse_live(path)
    refuse_live(checksum_file(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=path.parent) as folder:
            made = Path(folder) / "library.db"
            if database.file is not None:
                _copy_file(database.file, made)
            else:
                _copy_rows(database, made, progress)
            _finish(made)
            checksum = made.with_name("checksum")
            checksum.write_text(f"{sha256(made)}  {path.name}\n", encoding="utf-8")
            _sync(checksum)
            os.replace(made, path)
            os.replace(checksum, checksum_file(path))
        _sync(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise BackupError("backup_failed", f"{path}: {error}.") from error
    database.write(partial(_note, path=str(path)))


def _copy_file(source: Path, target: Path) -> None:
    """SQLite's own copying, in one step: it sees one moment and keeps nobody from writing."""
    sqlite_files.make(target)
    with closing(sqlite3.connect(target)) as made, closing(sqlite.open_file(source, 10.0)) as read:
        read.backup(made)


def _copy_rows(database: Database, target: Path, progress: Progress | None) -> None:
    """All rows in one transaction that sees one moment."""
    made = Database(LibraryConfig(database=f"sqlite:///{target}"))
    try:
        with database.reading(consistent=True) as connection:
            made.write(partial(_copy_tables, source=connection, progress=progress))
    except LibraryError as error:
        raise BackupError("backup_failed", error.message) from error
    finally:
        made.close()


def _drop_others(connection: sqlite3.Connection) -> None:
    """Without what else is kept in the database, the keys of the gateway for one."""
    for kind, name in foreign(connection):
        # An index goes with its table.
        connection.execute(f"DROP {kind} IF EXISTS {sqlite.quoted(name)}")


def _finish(file: Path) -> None:
    """One file without a log beside it, marked, and on the disk."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        # What goes now is overwritten.
        connection.execute("PRAGMA secure_delete = ON")
        _drop_others(connection)
        # Where other backups lie is this installation's business.
        connection.execute("DELETE FROM backup")
        # Whoever has changed the tables themselves learns of it now, not when it is needed.
        check_schema(file, connection)
    _sync(file)


def forget(database: Database, path: Path) -> None:
    """No longer know of a backup that was written, since its file is gone for good."""
    query = delete(backup_table).where(backup_table.c.path == str(path.absolute()))
    database.write(lambda connection: connection.execute(query))


def _note(connection: Connection, path: str) -> None:
    connection.execute(delete(backup_table).where(backup_table.c.path == path))
    connection.execute(insert(backup_table).values(path=path, created=now_ms()))


def restore(
    database: Database,
    path: Path,
    replace: bool,
    check: Validator,
    progress: Progress | None = None,
) -> None:
    """Put a backup back in one transaction, once every row of it has been found good."""
    with opened(path) as source:
        check_rows(source, check)
        database.erase(partial(_restore_rows, source=source, replace=replace, progress=progress))


def holds_user(path: Path, app_name: str, user: str) -> bool:
    """Whether a backup has a user of an app. Raises BackupError for a file that is none."""
    query = (
        select(func.count())
        .select_from(person)
        .join(face_group, person.c.group_id == face_group.c.id)
        .join(app, face_group.c.app_id == app.c.id)
        .where(app.c.name == app_name, person.c.name == user)
    )
    with opened(path) as source:
        return bool(source.scalar(query))


def holds_app(path: Path, app_name: str) -> bool:
    """Whether a backup has an app. Raises BackupError for a file that is none."""
    query = select(func.count()).select_from(app).where(app.c.name == app_name)
    with opened(path) as source:
        return bool(source.scalar(query))


def holding(
    written: Sequence[BackupRecord], holds: Callable[[Path], bool]
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """The backups that hold something, and those that cannot be read, each with the reason.

    holds: whether a file does; it may raise BackupError.
    """
    found, unreadable = [], []
    for record in written:
        if not record.path.exists():
            continue
        try:
            if holds(record.path):
                found.append(record.path)
        except BackupError as error:
            unreadable.append((record.path, error.message))
    return found, unreadable


def _restore_rows(
    connection: Connection, source: Connection, replace: bool, progress: Progress | None
) -> None:
    if connection.scalar(select(func.count()).select_from(app)):
        if not replace:
            raise BackupError("restore_not_empty")
        for table in (new_embedding, removal, *reversed(TABLES)):
            if table is not token_key:
                connection.execute(delete(table))
    # The tokens of the faces that are put back go with its key; older backups have none.
    if source.scalar(select(func.count()).select_from(token_key)):
        connection.execute(delete(token_key))
    _copy_tables(connection, source=source, progress=progress)
    for name in connection.scalars(select(app.c.name)).all():
        # Other rows than before under the same numbers: no index may take them for its own.
        changed: dict[str, Any] = {"origin": uuid.uuid4().hex, "removals_floor": app.c.version}
        # Numbers that can be counted are not taken on trust.
        for column, rows in ((app.c.faces, face), (app.c.entries, entry)):
            changed[column.name] = (
                select(func.count()).select_from(rows).where(rows.c.app_id == app.c.id)
            ).scalar_subquery()
        connection.execute(app.update().where(app.c.name == name).values(changed))
    if connection.dialect.name == "postgresql":
        _move_sequences(connection)


def _move_sequences(connection: Connection) -> None:
    """PostgreSQL numbers new rows from where it stood; ids that were put in do not move it."""
    for table in TABLES:
        if "id" in table.c:
            # The names are those of this module's tables.
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), "  # noqa: S608
                    f"GREATEST((SELECT COALESCE(MAX(id), 1) FROM {table.name}), "
                    f"nextval(pg_get_serial_sequence('{table.name}', 'id'))))"
                )
            )


def _copy_tables(target: Connection, source: Connection, progress: Progress | None) -> None:
    total = sum(source.scalar(select(func.count()).select_from(t)) or 0 for t in TABLES)
    done = 0
    for table in TABLES:
        for rows in _pages(source, table):
            target.execute(insert(table), [dict(row) for row in rows])
            done += len(rows)
            if progress is not None:
                progress(done, total)


def _pages(source: Connection, table: Table) -> Iterator[Sequence[RowMapping]]:
    """A table's rows in the order of their keys."""
    (key,) = table.primary_key.columns
    size = CROPS_AT_ONCE if table is crop else ROWS_AT_ONCE
    last = 0
    while True:
        query = select(table).where(key > last).order_by(key).limit(size)
        rows = source.execute(query).mappings().all()
        if not rows:
            return
        yield rows
        last = rows[-1][key.name]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
