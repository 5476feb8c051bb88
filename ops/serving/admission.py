"""Who is let in: as many as the queue takes, and nobody who could not be answered in time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ops.errors import ErrorKind, ServiceError

# What requests have met is known of so many, and for so many seconds, or for as long as the new one
# has where that is longer: of slow ones there would be too few.
_MOST_KNOWN = 32
_KNOWN_S = 10.0
# Fewer say nothing, so that a single request that took long does not speak for the service.
_QUORUM = 4
# So many may always be inside.
_FEW = 2
# A request that needs more of its time than this part is late. Simulated, three times the load
# that a service can bear: of those let in a third were late without it, and with it a tenth.
_ENOUGH = 0.8
# Given up after this part of its time, a request has waited in vain; earlier, its client left.
_NEARLY = 0.95


@dataclass(frozen=True)
class Place:
    """One request's, from `enter` to `leave`.

    number: in the queue, 1 for a request that nobody was before. entered: on the clock of the
    admission. seconds: in which the request has to be answered. is_trial: let in against the odds.
    """

    number: int
    entered: float
    seconds: float
    is_trial: bool


@dataclass(frozen=True)
class _Met:
    """What a request met: answered or not, so many seconds after it came to its place."""

    number: int
    seconds: float
    is_answered: bool
    when: float


class Admission:
    """Counts requests in the service and judges whether a new one would be answered in its time.

    By what the last ones met: from twice as far back it takes twice as long. Only those count whose
    place was at least half of the new one's, since batches form where many wait; a request is
    refused where most of these say that it would be late. All of it is forgotten after seconds, as
    requests differ, and a refused one teaches nothing. For the same reason two may always be
    inside, and of all that seem to be late one on trial: what is no longer true is found out by
    the next answers.

    Requests whose pictures processes of their own decode hold a place, but hold up nobody. For
    one thread.
    """

    def __init__(
        self,
        queue_length: int,
        aside: Callable[[], int] = lambda: 0,
        refused: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """queue_length: requests in the service. aside: how many of them hold up nobody now.

        refused: told of every request that is not let in.
        """
        self._queue_length = queue_length
        self._refused = refused
        self._aside = aside
        self._clock = clock
        self._met: deque[_Met] = deque(maxlen=_MOST_KNOWN)
        self._on_trial = False
        self.in_flight = 0

    @property
    def full(self) -> bool:
        """Whether the queue has no place left."""
        return self.in_flight >= self._queue_length

    def check(self) -> None:
        """Raise ServiceError(BUSY) when the queue is full; takes no place."""
        if self.full:
            self._refused()
            raise ServiceError(ErrorKind.BUSY)

    def enter(self, seconds: float) -> Place:
        """Take a place for a request that has to be answered within `seconds`.

        Raises ServiceError(BUSY) when the queue is full or the time would not be enough.
        """
        self.check()
        now = self._clock()
        number = max(self.in_flight - self._aside(), 0) + 1
        is_trial = number > _FEW and self._would_be_late(number, seconds, now)
        if is_trial and self._on_trial:
            self._refused()
            raise ServiceError(ErrorKind.BUSY, "It would not be answered in its time.")
        self._on_trial = self._on_trial or is_trial
        self.in_flight += 1
        return Place(number, now, seconds, is_trial)

    def leave(self, place: Place, is_answered: bool, aside: bool = False) -> None:
        """Give a place back, when the request has been answered or given up.

        is_answered: with what it asked for; an error tells nothing of the time that takes. aside:
        it held up nobody for a part of its time, which says nothing about others either.
        """
        self.in_flight -= 1
        if place.is_trial:
            self._on_trial = False
        now = self._clock()
        took = now - place.entered
        if not aside and (is_answered or took > _NEARLY * place.seconds):
            seconds = took if is_answered else max(took, place.seconds)
            self._met.append(_Met(place.number, seconds, is_answered, now))

    def _would_be_late(self, number: int, seconds: float, now: float) -> bool:
        oldest, most = now - max(_KNOWN_S, seconds), _ENOUGH * seconds
        late = in_time = 0
        for met in self._met:
            if met.when < oldest or 2 * met.number < number:
                continue
            if met.seconds * number >= most * met.number:
                late += 1
            elif met.is_answered:  # the others would have taken longer, nobody knows how long
                in_time += 1
        return late > in_time and late + in_time >= _QUORUM
