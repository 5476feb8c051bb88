"""Whether the database takes writes: tried for real, but seldom, and nobody waits long for it."""

from __future__ import annotations

import threading
import time

from sqlalchemy import Connection, delete, insert

from library.errors import DatabaseError
from library.sql.database import Database
from library.sql.rows import now_ms
from library.sql.tables import backup

# A write of this process that is no older is sign enough.
RECENT_S = 10.0
# Seconds that whoever asks waits for a try.
_WAIT_S = 1.0
# Others may write for long, an import or a compaction; when nothing was written for so many
# seconds in spite of trying, nobody will believe that they still do.
LOCKED_S = 60.0


class WriteProbe:
    """Tries a write when it is asked and the last one is some time ago. Thread safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changing = threading.Lock()
        self._trying: threading.Thread | None = None
        self._error: DatabaseError | None = None
        # Since when every try has met a lock.
        self._locked_since: float | None = None

    def check(self) -> None:
        """Raise DatabaseError where writes fail: no room, no right, or a lock that stays."""
        database = self._database
        if database.refusal is None and time.monotonic() - database.written < RECENT_S:
            self._locked_since = None
            return
        with self._changing:
            if self._trying is None or not self._trying.is_alive():
                self._trying = threading.Thread(target=self._try, name="write-probe", daemon=True)
                self._trying.start()
            trying = self._trying
        trying.join(_WAIT_S)
        if not trying.is_alive() and self._error is not None:
            raise self._error
        if database.refusal is not None:
            raise database.refusal
        since = self._locked_since
        if since is not None and time.monotonic() - since > LOCKED_S:
            raise DatabaseError("database_locked", "Nothing can be written.")

    def close(self) -> None:
        """Wait for a try that is under way."""
        if self._trying is not None:
            self._trying.join(_WAIT_S)

    def _try(self) -> None:
        if self._locked_since is None:
            self._locked_since = time.monotonic()
        try:
            self._database.write(_write)
        except DatabaseError as error:
            is_locked = error.code == "database_locked"
            self._error = None if is_locked else error
            if not is_locked:
                self._locked_since = None
        else:
            self._error = self._locked_since = None


def _write(connection: Connection) -> None:
    """A commit that is on the disk and leaves nothing: no index knows of this table."""
    made = connection.execute(insert(backup).values(path="", created=now_ms()))
    (number,) = made.inserted_primary_key or (None,)
    connection.execute(delete(backup).where(backup.c.id == number))
