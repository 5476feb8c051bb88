"""Who is let in: as many as the queue takes, and nobody who could not be answered in time."""

from __future__ import annotations

import time
from collections.abc import Callable

from ops.errors import ErrorKind, ServiceError

# Weight of the newest gap between two answers in their running mean.
_NEWEST = 0.05


class Admission:
    """Counts requests in the service and estimates how long a new one would wait.

    While requests wait, the gaps between answers are what one request costs the service; that
    cost times the requests before a new one is how long it would take. Requests whose pictures
    processes of their own decode hold a place, but hold up nobody. For one thread.
    """

    def __init__(self, queue_length: int, aside: Callable[[], int] = lambda: 0) -> None:
        """queue_length: requests in the service. aside: how many of them hold up nobody now."""
        self._queue_length = queue_length
        self._aside = aside
        self._last_answer = 0.0
        self._busy_since_last = False
        self._cost = 0.0
        self.in_flight = 0

    @property
    def full(self) -> bool:
        """Whether the queue has no place left."""
        return self.in_flight >= self._queue_length

    def check(self) -> None:
        """Raise ServiceError(BUSY) when the queue is full; takes no place."""
        if self.full:
            raise ServiceError(ErrorKind.BUSY)

    def enter(self, seconds: float) -> None:
        """Take a place for a request that has to be answered within `seconds`.

        Raises ServiceError(BUSY) when the queue is full or the time would not be enough.
        """
        self.check()
        before = self._before()
        if before and (before + 1) * self._cost > seconds:
            raise ServiceError(ErrorKind.BUSY, "It would not be answered in its time.")
        self.in_flight += 1

    def leave(self, aside: bool = False) -> None:
        """Give the place back, when the request has been answered or given up.

        aside: it held up nobody for a part of its time, which says nothing about others' cost.
        """
        now = time.monotonic()
        self.in_flight -= 1
        if self._busy_since_last and not aside:
            gap = now - self._last_answer
            self._cost += _NEWEST * (gap - self._cost) if self._cost else gap
        self._last_answer = now
        self._busy_since_last = self._before() > 0

    def _before(self) -> int:
        """Requests that a new one would have to wait for."""
        return max(self.in_flight - self._aside(), 0)
