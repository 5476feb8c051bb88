"""Brings a database's tables up to date: Alembic, run by the program itself.

Any number of processes may start at once: one migrates, the others wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from library.errors import DatabaseError

# Names of the lock between migrating processes: any number and name that nobody else uses.
_LOCK_NUMBER = 0x66616365
_LOCK_NAME = "face_library_schema"


@dataclass(frozen=True)
class Schema:
    """Tables that are kept up to date together.

    scripts: the folder of their migrations. version_table: where the database notes which of them
    it has seen; one for each schema, so that several can share a database.
    """

    scripts: Path
    version_table: str

    def config(self) -> Config:
        """What Alembic takes."""
        config = Config()
        config.set_main_option("script_location", str(self.scripts).replace("%", "%%"))
        config.attributes["version_table"] = self.version_table
        return config


LIBRARY = Schema(Path(__file__).resolve().parent / "migrations", "alembic_version")


def upgrade(engine: Engine, timeout_s: float, schema: Schema = LIBRARY) -> None:
    """Run the migrations that the database has not seen.

    Raises DatabaseError database_version for a database of a newer version of this software,
    and SQLAlchemy's own exceptions.
    """
    with engine.connect() as connection:
        # A database that may only be read can be opened when there is nothing to do.
        if is_current(connection, schema):
            return
    writing = engine.execution_options(writes=True)
    with writing.begin() as connection, _lock(connection, timeout_s):
        if not is_current(connection, schema):
            config = schema.config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def move(engine: Engine, timeout_s: float, schema: Schema, target: str) -> None:
    """Run migrations up or down to one of them, in one transaction where the database can.

    Down is for going back to an earlier release; tables that it does not know are dropped. Raises
    DatabaseError database_version for a migration that this software does not know.
    """
    writing = engine.execution_options(writes=True)
    with writing.begin() as connection, _lock(connection, timeout_s):
        now = revision(connection, schema)
        if now == target:
            return
        config = schema.config()
        config.attributes["connection"] = connection
        known = [one.revision for one in _scripts(schema).walk_revisions()]
        if target not in known:
            raise DatabaseError("database_version", f"There is no migration {target}.")
        # From the newest to the oldest.
        is_up = now is None or known.index(target) < known.index(now)
        (command.upgrade if is_up else command.downgrade)(config, target)


def head(schema: Schema) -> str:
    """The newest migration that this software knows."""
    return str(_scripts(schema).get_current_head())


def revision(connection: Connection, schema: Schema) -> str | None:
    """The newest migration that a database has; None before the first.

    Raises DatabaseError database_version for one that this software does not know.
    """
    options = {"version_table": schema.version_table}
    found = MigrationContext.configure(connection, opts=options).get_current_revision()
    if found not in {None, *(one.revision for one in _scripts(schema).walk_revisions())}:
        raise DatabaseError("database_version", f"The database is at {found}.")
    return found


def is_current(connection: Connection, schema: Schema = LIBRARY) -> bool:
    """Whether all migrations have been run.

    Raises DatabaseError database_version where others have been, too.
    """
    return revision(connection, schema) == head(schema)


@cache
def _scripts(schema: Schema) -> ScriptDirectory:
    # Read once: each migration is a file that is imported, slower than to ask a database.
    return ScriptDirectory.from_config(schema.config())


@contextmanager
def _lock(connection: Connection, timeout_s: float) -> Iterator[None]:
    """Only one process at a time; SQLite's write transaction already is that."""
    backend = connection.dialect.name
    if backend == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
        yield
    elif backend in ("mysql", "mariadb"):
        names = {"name": _LOCK_NAME, "seconds": max(1, round(timeout_s))}
        if not connection.scalar(text("SELECT GET_LOCK(:name, :seconds)"), names):
            raise DatabaseError("database_locked", "Another process is making the tables.")
        try:
            yield
        finally:
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), names)
    else:
        yield
