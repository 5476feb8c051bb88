"""The library's database: reachable, which version, with which rights, how fast. It only reads.

Imported where the packages are there only.
"""

from __future__ import annotations

import os
import re
import sqlite3
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from deploy.check.finding import Finding, failed, not_applicable, passed, warned
from deploy.check.machine import PATIENCE_S, HangsError, within
from deploy.check.needs import is_loopback
from deploy.check.probes.database_rights import missing_rights
from gateway.auth.key_store import GATEWAY
from library.errors import DatabaseError
from library.sql.faults import translated
from library.sql.schema import LIBRARY, is_current
from settings.library import LibraryConfig

# For a connection, and for one statement: the whole has a little more than either.
_CONNECT_S = 3
_TRIES = 5
_NAMES = {"postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB", "sqlite": "SQLite"}
_LATER = ("version", "rights", "tables", "latency", "link")


def probe(config: LibraryConfig, patience_s: float = 2 * PATIENCE_S) -> Iterator[Finding]:
    """The items about the database. patience_s: for all of them together."""
    url = config.url()
    facts = {"place": place(url), "user": url.username or "", "file": config.database_file()}
    # What has been found is told, whatever comes after it.
    found: list[Finding] = []
    case = words = ""
    try:
        within(
            f"the database at {place(url)}", lambda: found.extend(_look(config, url)), patience_s
        )
    except HangsError as error:
        case, words = "hangs", str(error)
    except (SQLAlchemyError, DatabaseError, OSError, sqlite3.Error) as error:
        case, words = "file" if config.database_file() is not None else "", _said(error, url)
    told = tuple(found)
    yield from told
    if not words:
        return
    if not told:
        yield failed("service.database", words, case, "", **facts)
        yield from _unknown(_LATER, "the database cannot be reached")
        return
    # One item after the other is found, in this order.
    left = _LATER[len(told) - 1 :]
    yield warned(f"service.database_{left[0]}", words, "unseen")
    yield from _unknown(left[1:], words)


def place(url: URL) -> str:
    """Where the database is, without a user or a password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    port = f":{url.port}" if url.port else ""
    return f"{url.host or 'localhost'}{port}/{url.database}"


def _said(error: Exception, url: URL) -> str:
    """What the driver says; a password that it might repeat is taken out."""
    if isinstance(error, SQLAlchemyError):
        error = translated(error)
    if isinstance(error, DatabaseError):
        words = f"{error.code}: {error.detail}"
    else:
        words = " ".join(str(error).split())
    return words.replace(str(url.password), "***") if url.password else words


def _unknown(names: tuple[str, ...], why: str) -> Iterator[Finding]:
    for name in names:
        yield not_applicable(f"service.database_{name}", why)


def _look(config: LibraryConfig, url: URL) -> Iterator[Finding]:
    file = config.database_file()
    if file is not None:
        yield from _sqlite(file)
    else:
        yield from _server(url)


def _sqlite(file: Path) -> Iterator[Finding]:
    version = sqlite3.sqlite_version
    if not file.exists():
        yield passed("service.database", f"{file} is made at the first start")
        yield Finding("service.database_version", f"SQLite {version}", version, subject="SQLite")
        yield _file_rights(file)
        yield from _unknown(("tables", "latency", "link"), "there is no file yet")
        return
    engine = create_engine(
        "sqlite://", poolclass=NullPool,
        creator=lambda: sqlite3.connect(
            f"file:{quote(str(file))}?mode=ro", uri=True, timeout=_CONNECT_S
        ),
    )  # fmt: skip
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
        yield passed("service.database", f"SQLite, {file}")
        yield Finding("service.database_version", f"SQLite {version}", version, subject="SQLite")
        yield _file_rights(file)
        yield _tables(connection)
    yield from _unknown(("latency", "link"), "a file of this machine; see the disk")


def _file_rights(file: Path) -> Finding:
    """SQLite writes files beside the database's, so that its folder has to be writable as well."""
    item = "service.database_rights"
    folder = next(one for one in file.parents if one.is_dir())
    closed = [one for one in (file, folder) if one.exists() and not os.access(one, os.W_OK)]
    if closed:
        words = f"this user may not write {closed[0]}"
        return failed(item, words, "file", place=closed[0])
    return passed(item, "this user may read and write it")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        options = f"-c statement_timeout={_CONNECT_S * 1000}"
        arguments: dict[str, Any] = {"connect_timeout": _CONNECT_S, "options": options}
    else:
        names = ("connect_timeout", "read_timeout", "write_timeout")
        arguments = dict.fromkeys(names, _CONNECT_S)
    return create_engine(url, poolclass=NullPool, connect_args=arguments, hide_parameters=True)


def _server(url: URL) -> Iterator[Finding]:
    with _engine(url).connect() as connection:
        kind = connection.dialect.name
        if getattr(connection.dialect, "is_mariadb", False):
            kind = "mariadb"
        yield passed("service.database", f"{_NAMES[kind]} at {place(url)}")
        yield _server_version(connection, kind)
        yield _rights(connection, kind, url)
        yield _tables(connection)
        yield _latency(connection)
        yield _link(connection, kind, url)


def _server_version(connection: Connection, kind: str) -> Finding:
    statement = "SHOW server_version" if kind == "postgresql" else "SELECT version()"
    told = str(connection.execute(text(statement)).scalar())
    found = re.search(r"\d+(\.\d+)*", told.removeprefix("5.5.5-"))
    number = found[0] if found else "0"
    return Finding(
        f"service.{kind}_version", f"{_NAMES[kind]} {number}", number, subject=_NAMES[kind]
    )


def _rights(connection: Connection, kind: str, url: URL) -> Finding:
    item = "service.database_rights"
    missing = missing_rights(connection, kind, str(url.database))
    facts = {"user": url.username or "?", "missing": ", ".join(missing)}
    if missing:
        return failed(item, f"missing: {', '.join(missing)}", kind, **facts)
    return passed(item, "may make its tables, read and write them")


def _tables(connection: Connection) -> Finding:
    """How far the tables are; another process may bring them up meanwhile."""
    item = "service.database_tables"
    try:
        # The gateway's own are made when keys are first asked for.
        current, _ = (is_current(connection, schema) for schema in (LIBRARY, GATEWAY))
    except DatabaseError as error:
        return failed(item, f"of a newer release: {error.detail.rstrip('.')}")
    words = "as this release has them" if current else "are made, or brought up, at the next start"
    return passed(item, words)


def _latency(connection: Connection) -> Finding:
    taken = []
    for _ in range(_TRIES):
        begun = time.perf_counter()
        connection.execute(text("SELECT 1")).scalar()
        taken.append((time.perf_counter() - begun) * 1000)
    median = statistics.median(taken)
    return Finding("service.database_latency", f"{median:.1f} ms for a statement", round(median, 1))


def _link(connection: Connection, kind: str, url: URL) -> Finding:
    """Whether others on the network could read along."""
    item = "service.database_link"
    if not url.host or url.host.startswith("/") or is_loopback(url.host):
        return passed(item, "within this machine")
    if kind == "postgresql":
        statement = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        secret = bool(connection.execute(text(statement)).scalar())
    else:
        row = connection.execute(text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).first()
        secret = bool(row and row[1])
    if secret:
        return passed(item, "encrypted")
    return warned(item, f"to {url.host} in the clear", kind)
