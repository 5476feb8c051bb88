"""How many stages compute at the same time: as many as there are cores."""

from __future__ import annotations

import heapq
import itertools
import threading


class Slots:
    """A semaphore that serves the smallest key first.

    More threads than cores would interrupt each other in the middle of a network, push each
    other's data out of the caches, and take work in small pieces. With a slot a core, work
    waits in the queues instead, where it gathers to batches.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, int, threading.Lock]] = []
        self._arrivals = itertools.count()

    def acquire(self, key: float) -> None:
        """Wait for a slot; of those who wait the smallest key is served first."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            heapq.heappush(self._waiting, (key, next(self._arrivals), turn))
        turn.acquire()  # released by whoever hands the slot over

    def release(self) -> None:
        """Hand the slot to the first in line, or keep it free."""
        with self._lock:
            if self._waiting:
                heapq.heappop(self._waiting)[2].release()
            else:
                self._free += 1
