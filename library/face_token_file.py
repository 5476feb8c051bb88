"""The file of face tokens: a small SQLite database, so that a restart forgets none."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import orjson

from library.likeness import leading_halves, same
from runtime import sqlite_files
from runtime.file_identity import identity

# Seconds that a call waits for others' locks.
_PATIENCE_S = 1.0
# Rows that are deleted at once.
_MOST_DELETED = 5000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS face_tokens (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,
    created REAL NOT NULL,
    app TEXT NOT NULL,
    model TEXT NOT NULL,
    embedding BLOB NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS face_tokens_created ON face_tokens (created);
CREATE INDEX IF NOT EXISTS face_tokens_alike ON face_tokens (app, substr(embedding, 3, 2));
"""
_DETAILS = ("location", "probability", "quality", "angle", "liveness")
# Those that are not looked at each time.
_LOOKED_AT = ("quality", "liveness")
# token, created, app, model, embedding, details
Row = tuple[str, float, str, str, bytes, str]


@dataclass(frozen=True)
class KnownFace:
    """A face that an application may name by its token.

    model: what made the embedding, (D,) float32 of unit length, or empty where the face has none.
    location: as it was answered.
    probability: 0 to 1, that it is a face. liveness: 0 to 1, 1 is live. quality, angle and
    liveness are None where they were not looked at.
    """

    token: str
    app: str
    model: str
    embedding: np.ndarray = field(repr=False)
    location: Mapping[str, Any]
    probability: float
    quality: dict[str, Any] | None
    angle: dict[str, Any] | None
    liveness: float | None

    def completed(self, earlier: KnownFace | None) -> KnownFace:
        """With what an earlier look at the same face has seen and this one has not looked at."""
        if earlier is None or (earlier.token, earlier.app) != (self.token, self.app):
            return self
        missing = {
            name: getattr(earlier, name)
            for name in _LOOKED_AT
            if getattr(self, name) is None and getattr(earlier, name) is not None
        }
        return replace(self, **missing) if missing else self

    @property
    def is_complete(self) -> bool:
        """Whether everything was looked at that may be."""
        return all(getattr(self, name) is not None for name in _LOOKED_AT)


@dataclass(frozen=True)
class Entry:
    """A face with the time it was put, in seconds since 1970, and its row in the file."""

    face: KnownFace
    created: float
    row: Row


def new_entry(face: KnownFace, created: float) -> Entry:
    """The entry of a face. Raises TypeError for what JSON has no word for."""
    details = orjson.dumps(
        {name: getattr(face, name) for name in _DETAILS}, option=orjson.OPT_SERIALIZE_NUMPY
    )
    embedding = np.ascontiguousarray(face.embedding, "<f4").tobytes()
    row = (face.token, created, face.app, face.model, embedding, details.decode("utf-8"))
    return Entry(face, created, row)


class TokenFile:
    """A connection to the file; it is opened when it is used, and anew after an error.

    For one thread at a time. All methods raise sqlite3.Error and OSError.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._version: tuple[tuple[int, int] | None, int] | None = None

    def write(self, entries: Sequence[Entry]) -> None:
        """Put faces, in one transaction; what the file has of them already is kept."""
        connection = self._open()
        with connection:
            entries = [self._completed(connection, entry) for entry in entries]
            connection.executemany(
                "INSERT OR REPLACE INTO face_tokens"
                " (token, created, app, model, embedding, details) VALUES (?, ?, ?, ?, ?, ?)",
                [entry.row for entry in entries],
            )

    def read(self, token: str) -> Entry | None:
        """The face of a token, also an expired one that has not been dropped yet."""
        return _find(self._open(), token) if self._file.exists() else None

    def _completed(self, connection: sqlite3.Connection, entry: Entry) -> Entry:
        # What has expired is put to be gone.
        if entry.face.is_complete or not entry.created:
            return entry
        try:
            earlier = _find(connection, entry.face.token)
        except (ValueError, KeyError):
            return entry  # a row that nobody here has written; this one takes its place
        if earlier is None:
            return entry
        return new_entry(entry.face.completed(earlier.face), entry.created)

    def drop(self, before: float, most: int) -> bool:
        """Delete faces created before a time, and the oldest of more than `most`.

        Returns whether there may be more to delete.
        """
        connection = self._open()
        with connection:
            expired = connection.execute(
                "DELETE FROM face_tokens WHERE number IN (SELECT number FROM face_tokens"
                " WHERE created < ? ORDER BY created LIMIT ?)",
                (before, _MOST_DELETED),
            ).rowcount
            surplus = connection.execute(
                "DELETE FROM face_tokens WHERE number IN (SELECT number FROM face_tokens"
                " WHERE number <= (SELECT max(number) FROM face_tokens) - ?"
                " ORDER BY number LIMIT ?)",
                (most, _MOST_DELETED),
            ).rowcount
        return max(expired, surplus) == _MOST_DELETED

    def forget(self, app: str, embedding: np.ndarray | None) -> None:
        """Delete an app's faces that are the same as one, or all for None: see `likeness`."""
        connection = self._open()
        if embedding is None:
            with connection:
                connection.execute("DELETE FROM face_tokens WHERE app = ?", (app,))
            return
        numbers = self._alike(connection, app, embedding)
        if numbers:
            with connection:
                connection.executemany("DELETE FROM face_tokens WHERE number = ?", numbers)

    def changed_elsewhere(self) -> bool:
        """Whether others have written since the last time that this was asked."""
        (version,) = self._open().execute("PRAGMA data_version").fetchone()
        before, self._version = self._version, (self._identity, version)
        return before is not None and before != self._version

    def scrub(self) -> bool:
        """Let the write-ahead log keep nothing of what was deleted; False while others use it."""
        (busy, *_) = self._open().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def _alike(
        self, connection: sqlite3.Connection, app: str, embedding: np.ndarray
    ) -> list[tuple[int]]:
        """Numbers of the rows, looked for by the index where that can be."""
        query = "SELECT number, embedding FROM face_tokens WHERE app = ?"
        halves = leading_halves(embedding) or []
        if halves:
            query += f" AND substr(embedding, 3, 2) IN ({', '.join('?' * len(halves))})"
        wanted = np.ascontiguousarray(embedding, "<f4")
        found = connection.execute(query, (app, *halves))
        numbers: list[tuple[int]] = []
        while rows := found.fetchmany(_MOST_DELETED):
            # What another recogniser has made has another length.
            rows = [row for row in rows if len(row[1]) == wanted.nbytes]
            if rows:
                others = np.frombuffer(b"".join(row[1] for row in rows), "<f4")
                alike = same(others.reshape(len(rows), -1), wanted[None])
                numbers += [(row[0],) for row, one in zip(rows, alike) if one]
        return numbers

    def set_aside(self) -> Path:
        """Rename the file, where it is damaged or no database; returns its new name."""
        self.close()
        for suffix in ("-wal", "-shm"):
            Path(f"{self._file}{suffix}").unlink(missing_ok=True)
        return self._file.replace(f"{self._file}.damaged")

    def close(self) -> None:
        """End the connection; it is opened again when it is needed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        # A file that was replaced or deleted would take faces that nobody will read.
        if self._connection is not None and self._identity == identity(self._file):
            return self._connection
        self.close()
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sqlite_files.make(self._file)
        sqlite_files.note(self._file)
        opened = identity(self._file)
        connection = sqlite3.connect(
            f"file:{quote(str(self._file))}?mode=rw",
            uri=True,
            timeout=_PATIENCE_S,
            check_same_thread=False,
        )
        try:
            for statement in (
                "PRAGMA journal_mode = WAL",
                # A power cut may take the newest faces; what is there stays whole.
                "PRAGMA synchronous = NORMAL",
                # What was deleted is overwritten, so that no face is left in free pages.
                "PRAGMA secure_delete = ON",
            ):
                connection.execute(statement)
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        self._connection, self._identity = connection, opened
        return connection


def forget_in(file: Path, app: str, embeddings: Sequence[np.ndarray] | None) -> bool:
    """Delete an app's faces that are the same as these, or all for None, beside a gateway or not.

    Whether its log keeps nothing of them either. Raises sqlite3.Error and OSError.
    """
    opened = TokenFile(file)
    try:
        for embedding in [None] if embeddings is None else embeddings:
            opened.forget(app, embedding)
        return opened.scrub()
    finally:
        opened.close()


def _find(connection: sqlite3.Connection, token: str) -> Entry | None:
    query = "SELECT token, created, app, model, embedding, details FROM face_tokens WHERE token = ?"
    row = connection.execute(query, (token,)).fetchone()
    return None if row is None else _entry(row)


def _entry(row: Row) -> Entry:
    token, created, app, model, embedding, details = row
    values = orjson.loads(details)
    face = KnownFace(
        token=token,
        app=app,
        model=model,
        embedding=np.frombuffer(embedding, "<f4"),
        **{name: values[name] for name in _DETAILS},
    )
    return Entry(face, created, row)
