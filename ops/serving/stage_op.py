"""A stage as a Paddle Serving op: takes what is queued, works, and passes it on."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from inference.runner import Timing
from ops.errors import ErrorKind, ServiceError
from ops.figures import Figures
from ops.pictures.picture import NO_MEMORY
from ops.request_state import RequestState
from ops.serving.scheduler import Scheduler
from ops.worker import StageError, Worker
from paddle_fence.internals import input_channel, items_waiting, output_channels, trace_buffer
from paddle_fence.pipeline import ChannelData, ChannelDataType, ChannelStopError, Op
from runtime.telemetry import tracing

_LOGGER = logging.getLogger(__name__)


class Envelope(ChannelData):
    """What travels through Paddle Serving's channels: a request, by reference."""

    def __init__(self, data_id: int, request: RequestState) -> None:
        super().__init__(ChannelDataType.DICT.value, dictdata={}, data_id=data_id)
        self.request = request

    def __deepcopy__(self, memo: dict[int, Any]) -> Envelope:
        return self


class StageOp(Op):
    """Runs a stage's workers: on the scheduler's threads, or on its own where a GPU does the work.

    Of Paddle Serving's `Op` the wiring of channels and the tracer's format are kept. Its main
    loop is replaced: it shares one predictor between threads, waits for full batches, copies
    arrays to merge batches, and writes requests' contents to the log when something fails.

    finished: called after items left the op, where it is the last one. figures: are told of every
    batch.
    """

    def __init__(
        self,
        name: str,
        input_ops: Sequence[Op],
        workers: Sequence[Worker],
        batch_size: int,
        scheduler: Scheduler,
        figures: Figures,
        finished: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(
            name=name,
            input_ops=list(input_ops),
            concurrency=len(workers),
            batch_size=batch_size,
        )
        self.batch_size = batch_size
        self.depth: int = 1 + max((getattr(op, "depth", 0) for op in input_ops), default=0)
        self._workers = list(workers)
        self._scheduler = scheduler
        self._finished = finished
        self._is_scheduled = all(worker.on_cpu for worker in workers)
        self._warm = threading.Semaphore(0)
        self._failure: Exception | None = None
        self._intake = threading.Lock()
        self._held: list[Envelope] = []
        self._held_lock = threading.Lock()
        self._held_has_turn = False
        self._ended = {worker: time.perf_counter() for worker in workers}
        self._figures = figures.stage(name, len(workers), self.waiting)
        self._inputs_of_trace = [op.name for op in input_ops]
        self._is_traced = tracing.is_on()

    def start_with_thread(self) -> list[threading.Thread]:
        """Join the scheduler or start a thread a worker; called by Paddle Serving's DAG."""
        self._input, self._outputs = input_channel(self), output_channels(self)
        self._trace = trace_buffer(self)
        if self._is_scheduled:
            self._scheduler.add(self, self._workers)
            return []
        threads = [
            threading.Thread(
                target=self._run_worker, args=(worker,), name=f"{self.name}-{n}", daemon=True
            )
            for n, worker in enumerate(self._workers)
        ]
        for thread in threads:
            thread.start()
        return threads

    def wait_until_warm(self) -> None:
        """Return when every worker has warmed up; StageError when one could not."""
        if self._is_scheduled:
            return
        for _ in self._workers:
            self._warm.acquire()
            if self._failure is not None:
                raise StageError(f"op.{self.name}: a trial run failed: {self._failure}")

    def waiting(self) -> int:
        """Requests that have come and are not at work, those that were postponed included."""
        return self._arrived() + len(self._held)

    def queued(self) -> int:
        """Items that could be taken now; for one thread at a time."""
        return self._arrived() + (sum(map(self._can_go_on, self._held)) if self._held else 0)

    def take(self) -> list[Envelope]:
        """Items to work on, `batch_size` at most, and those that only pass; see `queued`.

        An item that was postponed and items that have just come take turns: neither keeps the
        other waiting. None, where another thread's work has left no room for the only one.
        """
        if self._held and (self._held_has_turn or not self._arrived()):
            held = self._next_held()
            if held is not None:
                self._held_has_turn = False
                return [held]
        self._held_has_turn = True
        items: list[Envelope] = []
        concerned = 0
        while concerned < self.batch_size and self._arrived():
            items.append(self._front())
            concerned += self._is_concerned(items[-1])
        return items

    def step(self, worker: Worker, items: list[Envelope]) -> None:
        """Do the work on items that `take` gave and push them to the next ops."""
        taken = time.perf_counter()
        timing = Timing()
        concerned = [item.request for item in items if self._is_concerned(item)]
        self._work(worker, concerned, timing)
        worked = time.perf_counter()
        if self._is_traced:
            # Before anything is passed on: the next stage counts from here.
            self._note(items, concerned, taken, worked)
        for item in items:
            if item.request.postponed and self._hold(worker, item):
                continue
            for output in self._outputs:
                output.push(item, self.name)
        if self._finished is not None:
            self._finished()
        ended = time.perf_counter()
        if concerned:
            spent = timing.prepare + timing.infer + timing.decode
            seconds = {
                "in": taken - self._ended[worker],
                "prep": timing.prepare,
                "midp": timing.infer,
                "postp": timing.decode + max(worked - taken - spent, 0.0),
                "out": ended - worked,
            }
            self._figures.step(len(concerned), seconds)
            if self._trace is not None:
                # At least a microsecond: the tracer divides by the sum, and its thread would die.
                actions = {name: max(int(s * 1e6), 1) for name, s in seconds.items()}
                self._trace.put({"name": self.name, "actions": actions})
        self._ended[worker] = ended

    def _note(
        self,
        items: Sequence[Envelope],
        concerned: Sequence[RequestState],
        taken: float,
        worked: float,
    ) -> None:
        """Write the part of this stage into the traces of those requests that have one."""
        for request in (item.request for item in items):
            if request.trace is None:
                continue
            if not any(request is one for one in concerned):
                request.trace.passed(self.name, worked)
                continue
            fault = "" if request.error is None else request.error.kind.name
            request.trace.worked(
                self.name, self._inputs_of_trace, taken, worked, len(concerned), fault
            )

    def _run_worker(self, worker: Worker) -> None:
        """A thread that feeds a GPU."""
        try:
            worker.warm_up()
        except Exception as error:  # whoever waits for the worker is told
            _LOGGER.error("%s: a trial run failed", self.name, exc_info=True)
            self._failure = error
            return
        finally:
            self._warm.release()
        try:
            while True:
                with self._intake:
                    items = [self._front()]
                    while len(items) < self.batch_size and self._arrived():
                        items.append(self._front())
                self.step(worker, items)
                self._scheduler.wake()
        except ChannelStopError:
            return
        except BaseException:
            # A stage without its thread would leave every request waiting: stop the process.
            _LOGGER.critical("%s: a worker died", self.name, exc_info=True)
            os.kill(os.getpid(), signal.SIGTERM)

    def _arrived(self) -> int:
        """Items in the input channel."""
        return items_waiting(self._input, self.name)

    def _hold(self, worker: Worker, item: Envelope) -> bool:
        """Keep an item that was postponed, while somebody waits for it."""
        if not item.request.live:
            worker.give_up(item.request)
            return False
        with self._held_lock:
            self._held.append(item)
        return True

    def _can_go_on(self, item: Envelope) -> bool:
        return not item.request.live or self._workers[0].can_resume(item.request)

    def _next_held(self) -> Envelope | None:
        """The first postponed item that can go on; who is postponed again goes to the end."""
        with self._held_lock:
            item = next(filter(self._can_go_on, self._held), None)
            if item is not None:
                self._held.remove(item)
        return item

    def _is_concerned(self, item: Envelope) -> bool:
        return item.request.live and self._workers[0].concerns(item.request)

    def _front(self) -> Envelope:
        # Where several ops feed this one there is an item from each, all of the same request.
        item: dict[str, Envelope] = self._input.front(self.name)
        return next(iter(item.values()))

    def _work(self, worker: Worker, requests: list[RequestState], timing: Timing) -> None:
        """Run the worker; where a batch fails its requests are run one by one."""
        if not requests:
            return
        try:
            worker.run(requests, timing)
        except MemoryError:
            _LOGGER.error("%s: no memory for %d request(s)", self.name, len(requests))
            for request in requests:
                request.error = ServiceError(ErrorKind.BUSY, NO_MEMORY)
        except Exception:
            _LOGGER.error("%s failed on %d request(s)", self.name, len(requests), exc_info=True)
            if len(requests) == 1:
                requests[0].error = ServiceError(ErrorKind.INTERNAL)
                return
            for request in requests:
                self._work(worker, [request], timing)
