"""The threads that compute: each carries a batch through one op after the other."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ops.worker import StageError, Worker
from paddle_fence.pipeline import ChannelStopError

_LOGGER = logging.getLogger(__name__)
# How long work may wait for a batch to fill while there is other work to do; longer, up to the
# second figure, where so much waits before the first op that a request takes far longer anyway.
PATIENCE_S = 0.02
MOST_PATIENCE_S = 0.1
_LONG_QUEUE = 32  # requests before the first op from which on patience is greatest


class ScheduledOp(Protocol):
    """What the scheduler sees of an op. `queued` and `take` are called by one thread at a time.

    batch_size: most items that it takes at once. depth: ops before it and itself.
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
class _OpState:
    """An op with its worker in each thread, None where it has none there."""

    op: ScheduledOp
    workers: list[Worker | None]
    waiting_since: float | None = None


class _Thread(threading.Thread):
    """at_work_since: of time.monotonic, None while it has nothing to do."""

    def __init__(self, number: int, run: Callable[[_Thread], None]) -> None:
        super().__init__(target=run, args=(self,), name=f"Pipeline-{number}", daemon=True)
        self.number = number
        self.at_work_since: float | None = None
        self.turn = threading.Lock()
        self.turn.acquire()


class Scheduler:
    """Runs ops on threads of its own, no more at a time than there are cores.

    With a thread for each worker of each op, as Paddle Serving has it, every hand-over from op
    to op wakes a thread, which costs tens of microseconds, most of them idle; more threads than
    cores interrupt each other in the middle of a network; and work is taken in small pieces. A
    thread goes on with what it has just made instead, and work gathers to batches in the channels.

    A worker stays in one thread: oneDNN keeps its kernels by thread. An op with fewer workers
    than there are threads runs in so many of them only.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._ops: list[_OpState] = []
        self._threads: list[_Thread] = []
        self._idle: list[_Thread] = []
        self._busy = 0
        self._lock = threading.Lock()
        self._warm = threading.Semaphore(0)
        self._failure: str | None = None
        self._stopping = False

    def add(self, op: ScheduledOp, workers: Sequence[Worker]) -> None:
        """Give an op its place; before `start`."""
        self._ops.append(_OpState(op, list(workers)))

    def start(self) -> None:
        """Start the threads and wait until they are warm; StageError when one could not."""
        count = max(len(state.workers) for state in self._ops)
        self._ops.sort(key=lambda state: state.op.depth)
        for place, state in enumerate(self._ops):
            padded = state.workers + [None] * (count - len(state.workers))
            # Ops with one worker each are not all left to the first thread.
            state.workers = padded[-place % count :] + padded[: -place % count]
        self._threads = [_Thread(number, self._run) for number in range(count)]
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            self._warm.acquire()
        if self._failure is not None:
            raise StageError(self._failure)

    def wake(self) -> None:
        """Look for work; to be called by other threads that have made some."""
        with self._lock:
            self._wake_one()

    def stop(self) -> Sequence[threading.Thread]:
        """Let each thread end after the batch that it works on; the threads, to be waited for."""
        with self._lock:
            self._stopping = True
            for thread in self._idle:
                thread.turn.release()
            self._idle.clear()
        return self._threads

    def longest_step_s(self) -> float:
        """Seconds that the slowest thread has been in one op with one batch by now."""
        since = [thread.at_work_since for thread in self._threads]
        now = time.monotonic()
        return max((now - start for start in since if start is not None), default=0.0)

    def _run(self, thread: _Thread) -> None:
        try:
            self._warm_up(thread)
        finally:
            self._warm.release()
        try:
            state, items = self._next(thread, was_busy=False)
            while True:
                worker = state.workers[thread.number]
                if worker is None:
                    raise TypeError("a thread took work that it has no worker for")
                state.op.step(worker, items)
                state, items = self._next(thread, was_busy=True)
        except ChannelStopError:
            return
        except BaseException:
            # Without its thread every request would wait: stop the process.
            _LOGGER.critical("a pipeline thread died", exc_info=True)
            os.kill(os.getpid(), signal.SIGTERM)

    def _warm_up(self, thread: _Thread) -> None:
        for state in self._ops:
            worker = state.workers[thread.number]
            try:
                # In the thread that will do the work: oneDNN keeps its kernels by thread.
                if worker is not None:
                    worker.warm_up()
            except Exception as error:  # whoever waits in `start` is told
                name = getattr(state.op, "name", "")
                _LOGGER.error("%s: a trial run failed", name, exc_info=True)
                self._failure = f"op.{name}: a trial run failed: {error}"

    def _next(self, thread: _Thread, was_busy: bool) -> tuple[_OpState, list[Any]]:
        """What the thread does next; waits for work and for a core."""
        thread.at_work_since = None
        with self._lock:
            self._busy -= was_busy
            while True:
                if self._stopping:
                    raise ChannelStopError
                state = self._choose(thread) if self._busy < self._cores else None
                if state is not None:
                    self._busy += 1
                    items = state.op.take()
                    state.waiting_since = None
                    self._wake_one()
                    thread.at_work_since = time.monotonic()
                    return state, items
                self._wake_one()
                self._idle.append(thread)
                self._lock.release()
                try:
                    thread.turn.acquire()
                finally:
                    self._lock.acquire()

    def _wake_one(self) -> None:
        if self._busy >= self._cores:
            return
        for thread in reversed(self._idle):
            if self._choose(thread) is not None:
                self._idle.remove(thread)
                thread.turn.release()
                return

    def _choose(self, thread: _Thread) -> _OpState | None:
        """What has waited too long; else the last op with a full batch; else the first one.

        So batches fill while there is other work, and requests move on when there is none.
        """
        now = time.monotonic()
        first: _OpState | None = None
        full: _OpState | None = None
        late: _OpState | None = None
        share = min(self._ops[0].op.queued() / _LONG_QUEUE, 1.0)
        longest = PATIENCE_S + share * (MOST_PATIENCE_S - PATIENCE_S)
        for state in self._ops:
            queued = state.op.queued() if state.workers[thread.number] is not None else 0
            if not queued:
                continue
            if state.waiting_since is None:
                state.waiting_since = now
            first = first or state
            if queued >= state.op.batch_size:
                full = state
            if now - state.waiting_since > longest:
                late, longest = state, now - state.waiting_since
        return late or full or first
