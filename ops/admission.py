"""Who is let in: as many as the queue takes, and nobody who could not be answered in time."""

from __future__ import annotations

import time

from ops.errors import ErrorKind, ServiceError

# Weight of the newest gap between two answers in their running mean.
_NEWEST = 0.05


class Admission:
    """Counts requests in the service and estimates how long a new one would wait.

    While requests wait, the gaps between answers are what one request costs the service; that
    cost times the requests before a new one is how long it would take. For one thread.
    """

    def __init__(self, queue_length: int) -> None:
        self._queue_length = queue_length
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
        if self.in_flight and (self.in_flight + 1) * self._cost > seconds:
            raise ServiceError(ErrorKind.BUSY, "It would not be answered in its time.")
        self.in_flight += 1

    def leave(self) -> None:
        """Give the place back, when the request has been answered or given up."""
        now = time.monotonic()
        self.in_flight -= 1
        if self._busy_since_last:
            gap = now - self._last_answer
            self._cost += _NEWEST * (gap - self._cost) if self._cost else gap
        self._last_answer = now
        self._busy_since_last = self.in_flight > 0
