"""The file of face tokens: a small SQLite database, so that a restart forgets none."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote

import numpy as np
import orjson

from library import live_files

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
"""
_DETAILS = ("location", "probability", "quality", "angle", "liveness")
# token, created, app, model, embedding, details
Row = tuple[str, float, str, str, bytes, str]


@dataclass(frozen=True)
class KnownFace:
    """A face that an application may name by its token.

    model: what made the embedding, (D,) float32 of unit length. location: as it was answered.
    probability: 0 to 1, that it is a face. liveness: 0 to 1, 1 is live. quality, angle and
    liveness are None where they were not looked at.
    """

    token: str
    app: str
    model: str
    embedding: np.ndarray = field(repr=False)
    location: dict[str, Any]
    probability: float
    quality: Optional[dict[str, Any]]
    angle: Optional[dict[str, Any]]
    liveness: Optional[float]


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
        self._connection: Optional[sqlite3.Connection] = None
        self._identity: Optional[tuple[int, int]] = None

    def write(self, entries: Sequence[Entry]) -> None:
        """Put faces, in one transaction."""
        connection = self._open()
        with connection:
            connection.executemany(
                "INSERT OR REPLACE INTO face_tokens"
                " (token, created, app, model, embedding, details) VALUES (?, ?, ?, ?, ?, ?)",
                [entry.row for entry in entries],
            )

    def read(self, token: str) -> Optional[Entry]:
        """The face of a token, also an expired one that has not been dropped yet."""
        if not self._file.exists():
            return None
        found = self._open().execute(
            "SELECT token, created, app, model, embedding, details FROM face_tokens"
            " WHERE token = ?",
            (token,),
        )
        row = found.fetchone()
        return None if row is None else _entry(row)

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
        if self._connection is not None and self._identity == self._on_disk():
            return self._connection
        self.close()
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        live_files.make(self._file)
        live_files.note(self._file)
        identity = self._on_disk()
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
        self._connection, self._identity = connection, identity
        return connection

    def _on_disk(self) -> Optional[tuple[int, int]]:
        try:
            status = os.stat(self._file)
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


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
