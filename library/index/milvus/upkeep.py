"""What is done behind a Milvus index's changes: looking for tombstones, finishing segments."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait

import numpy as np

from library.errors import IndexUnavailableError
from library.index.milvus.collection import MilvusCollection
from library.index.milvus.journal import Journal

# A server looks through the rows of open segments one by one: 100,000 x 128 took 30 ms, and 5 once
# they were finished.
FLUSH_ROWS = 50_000


class Upkeep:
    """The work that follows on adding, in another thread, as it waits for the server's clock.

    flushes: whether rows come in segments that gain from being finished.
    """

    def __init__(self, rows: MilvusCollection, journal: Journal, flushes: bool) -> None:
        self._rows = rows
        self._journal = journal
        self._flushes = flushes
        self._added: list[tuple[np.ndarray, int]] = []
        self._time = 0
        self._unflushed = 0
        self._changing = threading.Lock()
        self._workers = rows.connection.workers
        self._working = False
        self._work: Future[None] | None = None

    def sweep(self, keep_days: float) -> None:
        """Delete what processes that have died had added too late; drop old tombstones."""
        buried = self._journal.buried_after(0)
        present = self._rows.rows_of("id", sorted(buried), ["id", "version"])
        late = [row["id"] for rows in present for row in rows if row["version"] < buried[row["id"]]]
        if late:
            self._rows.delete("id", late)
            self._rows.see(self._journal.now())
        self._journal.prune(keep_days)

    def added(self, ids: np.ndarray, version: int, time: int) -> None:
        """Look for tombstones of these entries, which were read at a version and written at a time.

        Raises what went wrong in earlier work, unless Milvus was away: that is done again now.
        """
        with self._changing:
            self._added.append((ids, version))
            self._time = max(self._time, time)
            self._unflushed += len(ids)
            if self._working:
                return
            if self._work is not None:
                self._work.result()
            self._working = True
            self._work = self._workers.submit(self._do)

    def follow(self, rows: MilvusCollection) -> None:
        """From now on, work on these rows."""
        with self._changing:
            self._rows = rows
            self._added, self._unflushed = [], 0

    def close(self) -> None:
        """Finish the work."""
        with self._changing:
            work = self._work
        if work is not None:
            wait([work])

    def _do(self) -> None:
        while True:
            with self._changing:
                rows, time, added = self._rows, self._time, self._added
                flush = self._flushes and self._unflushed >= FLUSH_ROWS
                self._added = []
                if not added:
                    self._working = False
                    return
            try:
                self._delete_buried(rows, added, time)
                if flush:
                    self._flush(rows)
            except BaseException as error:
                with self._changing:
                    self._working = False
                    if rows is self._rows:
                        self._added = added + self._added
                if isinstance(error, IndexUnavailableError):
                    return  # the next entries bring these up again, or else the next sweep
                raise

    def _flush(self, rows: MilvusCollection) -> None:
        with self._changing:
            self._unflushed = 0
        rows.flush()

    def _delete_buried(
        self, rows: MilvusCollection, added: list[tuple[np.ndarray, int]], time: int
    ) -> None:
        self._journal.see(time)
        buried = self._journal.buried_after(min(version for _, version in added))
        for ids, version in added:
            late = [i for i in ids.tolist() if buried.get(i, version) > version]
            if late:
                rows.delete("id", late)
                rows.see(self._journal.now())
