"""The threads that compute: each carries a batch through one stage after the other."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ops.worker import StageError, Worker
from paddle_fence.pipeline import ChannelStopError

_LOGGER = logging.getLogger(__name__)
# How long work may wait for a batch to fill while there is other work to do; longer, up to the
# second figure, where so much waits before the first stage that a request takes far longer anyway.
PATIENCE_S = 0.02
MOST_PATIENCE_S = 0.1
_LONG_QUEUE = 32  # requests before the first stage from which on patience is greatest


class Stage(Protocol):
    """What a lane sees of an op. `queued` and `take` are called by one thread at a time.

    batch_size: most items that it takes at once. depth: stages before it and itself.
    """

    batch_size: int
    depth: int

    def queued(self) -> int:
        """How many items could be taken now."""

    def take(self) -> list[Any]:
        """Up to `batch_size` items, at least one; called only where some are queued."""

    def step(self, worker: Worker, items: list[Any]) -> None:
        """Do the work and pass the items on."""


@dataclass(eq=False)
class _Seat:
    """A stage with its worker in each lane, None where it has none there."""

    stage: Stage
    workers: list[Worker | None]
    waiting_since: float | None = None


class _Lane:
    """at_work_since: of time.monotonic, None while it has nothing to do."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.at_work_since: float | None = None
        self.turn = threading.Lock()
        self.turn.acquire()


class Lanes:
    """Runs stages on threads of their own, no more at a time than there are cores.

    With a thread for each worker of each op, as Paddle Serving has it, every hand-over from op
    to op wakes a thread, which costs tens of microseconds, most of them idle; more threads than
    cores interrupt each other in the middle of a network; and work is taken in small pieces. A
    lane goes on with what it has just made instead, and work gathers to batches in the channels.

    A worker stays in one lane: oneDNN keeps its kernels by thread. A stage with fewer workers
    than there are lanes runs in so many lanes only.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._seats: list[_Seat] = []
        self._lanes: list[_Lane] = []
        self._idle: list[_Lane] = []
        self._busy = 0
        self._lock = threading.Lock()
        self._warm = threading.Semaphore(0)
        self._failure: str | None = None
        self._threads: list[threading.Thread] = []
        self._stopping = False

    def add(self, stage: Stage, workers: Sequence[Worker]) -> None:
        """Give a stage its place; before `start`."""
        self._seats.append(_Seat(stage, list(workers)))

    def start(self) -> None:
        """Start the lanes and wait until they are warm; StageError when one could not."""
        count = max(len(seat.workers) for seat in self._seats)
        self._seats.sort(key=lambda seat: seat.stage.depth)
        for place, seat in enumerate(self._seats):
            padded = seat.workers + [None] * (count - len(seat.workers))
            # Stages with one worker each do not all sit in the first lane.
            seat.workers = padded[-place % count :] + padded[: -place % count]
        self._lanes = [_Lane(number) for number in range(count)]
        for lane in self._lanes:
            name = f"Lane-{lane.number}"
            thread = threading.Thread(target=self._run, args=(lane,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        for _ in self._lanes:
            self._warm.acquire()
        if self._failure is not None:
            raise StageError(self._failure)

    def wake(self) -> None:
        """Look for work; to be called by other threads that have made some."""
        with self._lock:
            self._wake_one()

    def stop(self) -> list[threading.Thread]:
        """Let each lane end after the batch that it works on; the threads, to be waited for."""
        with self._lock:
            self._stopping = True
            for lane in self._idle:
                lane.turn.release()
            self._idle.clear()
        return self._threads

    def longest_step_s(self) -> float:
        """Seconds that the slowest lane has been in one stage with one batch by now."""
        since = [lane.at_work_since for lane in self._lanes]
        now = time.monotonic()
        return max((now - start for start in since if start is not None), default=0.0)

    def _run(self, lane: _Lane) -> None:
        try:
            self._warm_up(lane)
        finally:
            self._warm.release()
        try:
            seat, items = self._next(lane, was_busy=False)
            while True:
                worker = seat.workers[lane.number]
                if worker is None:
                    raise TypeError("a lane took work that it has no worker for")
                seat.stage.step(worker, items)
                seat, items = self._next(lane, was_busy=True)
        except ChannelStopError:
            return
        except BaseException:
            # Without its thread every request would wait: stop the process.
            _LOGGER.critical("a lane died", exc_info=True)
            os.kill(os.getpid(), signal.SIGTERM)

    def _warm_up(self, lane: _Lane) -> None:
        for seat in self._seats:
            worker = seat.workers[lane.number]
            try:
                # In the thread that will do the work: oneDNN keeps its kernels by thread.
                if worker is not None:
                    worker.warm_up()
            except Exception as error:  # whoever waits in `start` is told
                name = getattr(seat.stage, "name", "")
                _LOGGER.error("%s: a trial run failed", name, exc_info=True)
                self._failure = f"op.{name}: a trial run failed: {error}"

    def _next(self, lane: _Lane, was_busy: bool) -> tuple[_Seat, list[Any]]:
        """What the lane does next; waits for work and for a core."""
        lane.at_work_since = None
        with self._lock:
            self._busy -= was_busy
            while True:
                if self._stopping:
                    raise ChannelStopError
                seat = self._choose(lane) if self._busy < self._cores else None
                if seat is not None:
                    self._busy += 1
                    items = seat.stage.take()
                    seat.waiting_since = None
                    self._wake_one()
                    lane.at_work_since = time.monotonic()
                    return seat, items
                self._wake_one()
                self._idle.append(lane)
                self._lock.release()
                try:
                    lane.turn.acquire()
                finally:
                    self._lock.acquire()

    def _wake_one(self) -> None:
        if self._busy >= self._cores:
            return
        for lane in reversed(self._idle):
            if self._choose(lane) is not None:
                self._idle.remove(lane)
                lane.turn.release()
                return

    def _choose(self, lane: _Lane) -> _Seat | None:
        """What has waited too long; else the last stage with a full batch; else the first one.

        So batches fill while there is other work, and requests move on when there is none.
        """
        now = time.monotonic()
        first: _Seat | None = None
        full: _Seat | None = None
        late: _Seat | None = None
        share = min(self._seats[0].stage.queued() / _LONG_QUEUE, 1.0)
        longest = PATIENCE_S + share * (MOST_PATIENCE_S - PATIENCE_S)
        for seat in self._seats:
            queued = seat.stage.queued() if seat.workers[lane.number] is not None else 0
            if not queued:
                continue
            if seat.waiting_since is None:
                seat.waiting_since = now
            first = first or seat
            if queued >= seat.stage.batch_size:
                full = seat
            if now - seat.waiting_since > longest:
                late, longest = seat, now - seat.waiting_since
        return late or full or first
