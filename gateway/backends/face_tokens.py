"""Face tokens: names for faces that were answered, with which later requests can go on.

They are in memory at once and in a file soon after, so that they outlive a restart. The file is
no truth of anything: where it cannot be written, tokens are only kept as long as memory allows.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from library.face_token_file import Entry, KnownFace, TokenFile, new_entry
from library.likeness import same

__all__ = ["FaceTokens", "KnownFace", "new_token"]

_LOGGER = logging.getLogger(__name__)

_MOST_RECENT = 4096  # faces in memory that have been written
_MOST_WAITING = 16_384  # faces in memory that could not be written yet
_MOST_WRITTEN = 1000  # faces in a transaction
# Seconds between two transactions; so much a kill may lose.
_GATHER_S = 0.05
# Seconds between two attempts on a file that cannot be written: the first pause, and the longest.
_RETRY_S = (0.5, 30.0)
# Seconds after which expired faces are dropped though nothing is put.
_UPKEEP_S = 30.0
_CLOSE_S = 10.0
# Removals that wait for a file that cannot be written. Tokens that outlast one of them there end
# with their hour.
_MOST_REMOVALS = 1000

_TOKEN = re.compile(r"[0-9A-Za-z_-]{1,64}")


def new_token() -> str:
    """32 hexadecimal digits that nobody can guess, where no picture's can be made."""
    return secrets.token_hex(16)


@dataclass(frozen=True, eq=False)
class _Removal:
    """Faces whose tokens are to go. embeddings: (m, D) of unit length; None for all of the app."""

    app: str
    embeddings: np.ndarray | None
    done: Future[None] = field(default_factory=Future)

    def of(self, entries: Sequence[Entry]) -> list[str]:
        """The tokens among these that are to go."""
        entries = [entry for entry in entries if entry.face.app == self.app]
        if self.embeddings is not None:
            size = self.embeddings.shape[1]
            entries = [entry for entry in entries if entry.face.embedding.size == size]
        if self.embeddings is None or not entries:
            return [entry.face.token for entry in entries]
        alike = same(np.stack([entry.face.embedding for entry in entries]), self.embeddings)
        return [entry.face.token for entry, one in zip(entries, alike) if one]


class FaceTokens:
    """Faces by token, for a while. `put` and `get` are for the event loop, and never block it.

    seconds: how long a token is known. most: how many are kept; the oldest go first.
    """

    def __init__(self, file: Path, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._changes = threading.Condition()  # guards the four below
        self._recent: OrderedDict[str, Entry] = OrderedDict()
        self._waiting: dict[str, Entry] = {}
        self._removals: list[_Removal] = []
        self._ending = False
        self._end = threading.Event()
        self._more_to_drop = False
        self._complaints: set[str] = set()
        self._reading = TokenFile(file)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="token-reader")
        self._writing = TokenFile(file)
        self._writer = threading.Thread(target=self._write, name="token-writer", daemon=True)
        self._writer.start()

    def put(self, face: KnownFace) -> None:
        """Keep a face; in memory when this returns, in the file a moment later.

        What an earlier look at it has seen is known on.
        """
        held = self._held(face.token)
        self._keep(new_entry(face.completed(held.face if held else None), time.time()))

    def forget(self, face: KnownFace) -> None:
        """Know a face no more: an entry without its embedding that has expired takes its place."""
        self._keep(new_entry(replace(face, embedding=np.empty(0, np.float32)), 0.0))

    async def forget_alike(
        self, app: str, embeddings: Sequence[np.ndarray] | None, timeout: float
    ) -> bool:
        """Know no face of an app any more that has one of these embeddings, or any for None.

        True when none is left in memory and in the file; False where that takes longer than
        `timeout` seconds. It goes on then.
        """
        by_size: dict[int, list[np.ndarray]] = {}
        for embedding in embeddings or ():
            by_size.setdefault(embedding.size, []).append(embedding)
        removals = [_Removal(app, np.stack(some)) for some in by_size.values()]
        if embeddings is None:
            removals = [_Removal(app, None)]
        if not removals:
            return True
        with self._changes:
            self._removals = [*self._removals, *removals][-_MOST_REMOVALS:]
            self._changes.notify()
        waiting = [asyncio.wrap_future(removal.done) for removal in removals]
        _, late = await asyncio.wait(waiting, timeout=timeout)
        if late:
            _LOGGER.warning("tokens of deleted faces are not yet out of the file")
        return not late

    def _keep(self, entry: Entry) -> None:
        face = entry.face
        with self._changes:
            self._recent[face.token] = entry
            self._recent.move_to_end(face.token)
            if len(self._recent) > min(_MOST_RECENT, self._most):
                self._recent.popitem(last=False)
            self._waiting.pop(face.token, None)
            self._waiting[face.token] = entry
            if len(self._waiting) > min(_MOST_WAITING, self._most):
                del self._waiting[next(iter(self._waiting))]
            self._changes.notify()

    async def get(self, app: str, token: str) -> KnownFace | None:
        """The face of a token of this app; None where it is not known (any more)."""
        if not _TOKEN.fullmatch(token):
            return None
        entry = self._held(token)
        if entry is not None and not self._is_known(entry, app):
            return None
        face = entry.face if entry is not None else None
        if face is None or not face.is_complete:
            loop = asyncio.get_running_loop()
            stored = await loop.run_in_executor(self._reader, self._read, token)
            if stored is not None and self._is_known(stored, app):
                face = stored.face if face is None else face.completed(stored.face)
        return face

    def _is_known(self, entry: Entry, app: str) -> bool:
        return entry.face.app == app and time.time() < entry.created + self._seconds

    def close(self) -> None:
        """Write what waits, and end. It may take seconds where the disk is slow."""
        with self._changes:
            self._ending = True
            self._changes.notify()
        self._end.set()
        self._writer.join(_CLOSE_S)
        if self._writer.is_alive():
            _LOGGER.warning("face tokens could not all be written in %g s", _CLOSE_S)
        self._reader.shutdown()
        self._reading.close()

    def _held(self, token: str) -> Entry | None:
        with self._changes:
            entry = self._recent.get(token)
            if entry is None:
                return self._waiting.get(token)
            self._recent.move_to_end(token)
            return entry

    def _read(self, token: str) -> Entry | None:
        try:
            entry = self._reading.read(token)
        # ValueError and KeyError: a row that nobody here has written.
        except (sqlite3.Error, OSError, ValueError, KeyError) as error:
            self._reading.close()
            self._complain("read", error)
            return None
        self._complaints.discard("read")
        return entry

    def _write(self) -> None:
        """The writer's thread."""
        retry = _RETRY_S[0]
        while True:
            with self._changes:
                idle = 0.0 if self._more_to_drop else _UPKEEP_S
                self._changes.wait_for(
                    lambda: self._waiting or self._removals or self._ending, idle
                )
                removals = list(self._removals)
                ending = self._ending
            self._remove_from_memory(removals)
            with self._changes:
                batch = list(self._waiting.values())[:_MOST_WRITTEN]
            written = self._store(batch, removals)
            if ending and (not (batch or removals) or not written):
                break
            self._end.wait(_GATHER_S if written else retry)
            retry = _RETRY_S[0] if written else min(retry * 2, _RETRY_S[1])
        self._writing.close()

    def _remove_from_memory(self, removals: list[_Removal]) -> None:
        """What waits has not been written: this is the writer's thread."""
        for removal in removals:
            with self._changes:
                entries = [*self._recent.values(), *self._waiting.values()]
            going = removal.of(entries)
            with self._changes:
                for token in going:
                    self._recent.pop(token, None)
                    self._waiting.pop(token, None)

    def _remove_from_file(self, removals: list[_Removal]) -> None:
        for removal in removals:
            for embedding in [None] if removal.embeddings is None else removal.embeddings:
                self._writing.forget(removal.app, embedding)
        if not self._writing.scrub():
            raise sqlite3.OperationalError("the write-ahead log is in use")
        with self._changes:
            self._removals = [one for one in self._removals if one not in removals]
        for removal in removals:
            removal.done.set_result(None)

    def _store(self, batch: list[Entry], removals: list[_Removal]) -> bool:
        """Whether a batch is in the file; what need not be kept is dropped from it then."""
        try:
            if batch:
                self._writing.write(batch)
            self._forget(batch)
            if removals:
                self._remove_from_file(removals)
            if self._writing.changed_elsewhere():
                self._keep_what_waits()
            oldest = time.time() - self._seconds
            self._more_to_drop = self._writing.drop(oldest, self._most)
        except (sqlite3.Error, OSError) as error:
            self._mend(error)
            return False
        self._complaints.discard("written")
        return True

    def _forget(self, batch: list[Entry]) -> None:
        """These need not wait any more."""
        with self._changes:
            for entry in batch:
                if self._waiting.get(entry.face.token) is entry:
                    del self._waiting[entry.face.token]

    def _keep_what_waits(self) -> None:
        """The rest of what is in memory may be what a command has taken out of the file."""
        with self._changes:
            for token in [token for token in self._recent if token not in self._waiting]:
                del self._recent[token]

    def _mend(self, error: Exception) -> None:
        """Make another attempt possible."""
        self._writing.close()
        # SQLite's classes of errors: this one itself, and no subclass, is a file that is damaged
        # or no database.
        if type(error) is not sqlite3.DatabaseError:
            self._complain("written", error)
            return
        try:
            aside = self._writing.set_aside()
        except OSError as fault:
            self._complain("written", fault)
        else:
            _LOGGER.warning("the face tokens so far are lost (%s): now %s", error, aside.name)

    def _complain(self, doing: str, error: Exception) -> None:
        """Log the first of a row of failures."""
        if doing not in self._complaints:
            _LOGGER.warning("face tokens cannot be %s: %s", doing, error)
            self._complaints.add(doing)
