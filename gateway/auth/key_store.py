"""Keys in the library's database, in a table of their own.

A backup of the library does not hold them: who has a backup cannot call the service, and a
restored library is called with the keys that its database has.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    MetaData,
    Row,
    Table,
    Text,
    insert,
    or_,
    select,
    update,
)

from gateway.auth.keys import ADMIN, ROLES, Key, hash_of, is_key_id, new_id, new_secret
from library.errors import DatabaseError, InvalidError
from library.sql.database import Database
from library.sql.rows import moment, now_ms
from library.sql.schema import Schema
from library.sql.tables import NAMING, name_type
from library.validation import Validator
from settings.library import LibraryConfig

# Characters of a comment.
MAX_COMMENT = 200
# Requests a second that a key may be limited to.
MIN_RATE, MAX_RATE = 0.001, 1e6
# Seconds between two notes that a key was used.
NOTE_S = 3600

METADATA = MetaData(naming_convention=NAMING)
# secret_hash: SHA-256 of the secret in hexadecimal. app: NULL for an admin's key. rate: requests a
# second, NULL for what the settings say, 0 for any number. Times are milliseconds since 1970.
access_key = Table(
    "access_key",
    METADATA,
    Column("id", name_type(32), primary_key=True),
    Column("secret_hash", name_type(64), nullable=False),
    Column("app", name_type(255)),
    Column("role", name_type(16), nullable=False),
    Column("comment", Text, nullable=False),
    Column("rate", Double),
    Column("created", BigInteger, nullable=False),
    Column("used", BigInteger),
    Column("revoked", BigInteger),
)
GATEWAY = Schema(Path(__file__).resolve().parent / "migrations", "gateway_version")


class KeyStore:
    """The keys. The first call opens the database and makes the table; thread safe.

    All methods may raise DatabaseError. After one, the next call looks for the table again: the
    database may have been put back from somewhere else meanwhile.
    """

    def __init__(self, config: LibraryConfig) -> None:
        self._config = config
        self._check = Validator(config.limits)
        self._opening = threading.Lock()
        self._database: Database | None = None
        self._is_current = False

    def create(
        self, app: str | None, role: str, comment: str = "", rate: float | None = None
    ) -> tuple[Key, str]:
        """Make a key; it and its secret, which is stored nowhere.

        app: None for the role admin, and for no other. rate: see `Key`. Raises InvalidError.
        """
        self._check_new(app, role, comment, rate)
        secret = new_secret()
        key = Key(
            id=new_id(),
            app=app,
            role=role,
            comment=comment,
            rate=rate,
            created=moment(now_ms()),
            used=None,
            revoked=None,
            secret_hash=hash_of(secret),
        )
        values = {
            "id": key.id,
            "secret_hash": key.secret_hash.hex(),
            "app": app,
            "role": role,
            "comment": comment,
            "rate": rate,
            "created": round(key.created.timestamp() * 1000),
        }
        with self._opened() as database:
            database.write(lambda connection: connection.execute(insert(access_key), values))
        return key, secret

    def list(self) -> list[Key]:
        """All keys, also those that were revoked, in the order of their making."""
        query = select(access_key).order_by(access_key.c.created, access_key.c.id)
        with self._opened() as database, database.reading() as connection:
            return [_key(row) for row in connection.execute(query)]

    def find(self, id_: str) -> Key | None:
        """A key, also one that was revoked; None for an id that no key has."""
        # Databases differ in what other text they take for a value.
        if not is_key_id(id_):
            return None
        query = select(access_key).where(access_key.c.id == id_)
        with self._opened() as database, database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _key(row)

    def revoke(self, id_: str) -> Key | None:
        """Revoke a key for ever, and with it its access tokens; None for an unknown id.

        A key that was revoked before keeps the time of it.
        """
        if not is_key_id(id_):
            return None
        work = (
            update(access_key)
            .where(access_key.c.id == id_, access_key.c.revoked.is_(None))
            .values(revoked=now_ms())
        )
        with self._opened() as database:
            database.write(lambda connection: connection.execute(work))
        return self.find(id_)

    def revoke_app(self, app: str) -> int:
        """Revoke all keys of an app; how many were good."""
        work = (
            update(access_key)
            .where(access_key.c.app == app, access_key.c.revoked.is_(None))
            .values(revoked=now_ms())
        )
        with self._opened() as database:
            return database.write(lambda connection: connection.execute(work).rowcount)

    def note_use(self, id_: str) -> None:
        """Note that a key is used now, unless that was noted within the last hour."""
        now = now_ms()
        known = access_key.c.used
        work = (
            update(access_key)
            .where(access_key.c.id == id_, or_(known.is_(None), known < now - NOTE_S * 1000))
            .values(used=now)
        )
        with self._opened() as database:
            database.write(lambda connection: connection.execute(work))

    def close(self) -> None:
        """Close all connections; the next call opens them again."""
        with self._opening:
            if self._database is not None:
                self._database.close()
            self._database, self._is_current = None, False

    @contextmanager
    def _opened(self) -> Iterator[Database]:
        with self._opening:
            if self._database is None:
                self._database = Database(self._config)
            database = self._database
            if not self._is_current:
                database.bring_up(GATEWAY)
                self._is_current = True
        try:
            yield database
        except DatabaseError:
            self._is_current = False
            raise

    def _check_new(self, app: str | None, role: str, comment: str, rate: float | None) -> None:
        if role not in ROLES:
            raise InvalidError("invalid_value", f"role {role!r} is not {', '.join(ROLES)}.")
        if (app is None) != (role == ADMIN):
            raise InvalidError(
                "invalid_value", "A key of an admin has no app, every other key has one."
            )
        if app is not None:
            self._check.app(app)
        # What a terminal would take for a command is not printable either.
        if len(comment) > MAX_COMMENT or not comment.isprintable():
            raise InvalidError(
                "invalid_value", f"comment is not a line of at most {MAX_COMMENT} characters."
            )
        if rate is not None and rate != 0 and not MIN_RATE <= rate <= MAX_RATE:
            raise InvalidError(
                "invalid_value", f"rate is {rate}, not 0 or {MIN_RATE:g} to {MAX_RATE:.0f}."
            )


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        app=row.app,
        role=row.role,
        comment=row.comment,
        rate=row.rate,
        created=moment(row.created),
        used=_moment(row.used),
        revoked=_moment(row.revoked),
        secret_hash=bytes.fromhex(row.secret_hash),
    )


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else moment(milliseconds)
