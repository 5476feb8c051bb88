"""A stage as a Paddle Serving op: threads that take what is queued, work, and pass it on."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any, Optional

from paddle_serving_server.pipeline import Op
from paddle_serving_server.pipeline.channel import (
    ChannelData,
    ChannelDataType,
    ChannelStopError,
)

from ops.errors import ErrorKind, ServiceError
from ops.runner import Timing
from ops.slots import Slots
from ops.stage import StageError, Worker
from ops.task import Task

_LOGGER = logging.getLogger(__name__)
# How much longer an op waits for a slot than the one before it in the DAG. Where there is more work
# than cores, later ops so get their work in batches, which cost less a face.
PATIENCE_S = 0.02


class Envelope(ChannelData):
    """What travels through Paddle Serving's channels: a task, by reference."""

    def __init__(self, data_id: int, task: Task) -> None:
        super().__init__(ChannelDataType.DICT.value, dictdata={}, data_id=data_id)
        self.task = task

    def __deepcopy__(self, memo: dict[int, Any]) -> Envelope:
        return self


class StageOp(Op):
    """Runs a stage's workers, one a thread.

    Of Paddle Serving's `Op` the wiring of channels and the tracer's format are kept. Its main
    loop is replaced: it shares one predictor between threads, waits for full batches, copies
    arrays to merge batches, and writes requests' contents to the log when something fails.
    """

    def __init__(
        self,
        name: str,
        input_ops: Sequence[Op],
        workers: Sequence[Worker],
        batch_size: int,
        slots: Slots,
    ) -> None:
        super().__init__(
            name=name,
            input_ops=list(input_ops),
            concurrency=len(workers),
            batch_size=batch_size,
        )
        self._workers = list(workers)
        self._warm = threading.Semaphore(0)
        self._failure: Optional[Exception] = None
        self._intake = threading.Lock()
        self._slots = slots
        self._layer = 1 + max((getattr(op, "_layer", 0) for op in input_ops), default=0)

    def start_with_thread(self) -> list[threading.Thread]:
        """Start a thread for each worker; called by Paddle Serving's DAG."""
        trace = self._tracer.data_buffer() if self._tracer is not None else None
        threads = [
            threading.Thread(
                target=self._run_worker, args=(worker, trace), name=f"{self.name}-{n}", daemon=True
            )
            for n, worker in enumerate(self._workers)
        ]
        for thread in threads:
            thread.start()
        return threads

    def wait_until_warm(self) -> None:
        """Return when every worker has warmed up; StageError when one could not."""
        for _ in self._workers:
            self._warm.acquire()
            if self._failure is not None:
                raise StageError(f"op.{self.name}: a trial run failed: {self._failure}")

    def _run_worker(self, worker: Worker, trace: Optional[queue.Queue[Any]]) -> None:
        channel, outputs = self._get_input_channel(), self._get_output_channels()
        try:
            # In the thread that will do the work: oneDNN keeps its kernels by thread.
            worker.warm_up()
        except Exception as error:  # whoever waits for the worker is told
            _LOGGER.error("%s: a trial run failed", self.name, exc_info=True)
            self._failure = error
            return
        finally:
            self._warm.release()
        try:
            while True:
                self._step(worker, channel, outputs, trace)
        except ChannelStopError:
            return
        except BaseException:
            # A stage without its thread would leave every request waiting: stop the process.
            _LOGGER.critical("%s: a worker died", self.name, exc_info=True)
            os.kill(os.getpid(), signal.SIGTERM)

    def _step(
        self, worker: Worker, channel: Any, outputs: Sequence[Any], trace: Optional[Any]
    ) -> None:
        started = time.perf_counter()
        envelopes, slots = self._take(worker, channel)
        taken = time.perf_counter()
        timing = Timing()
        try:
            self._work(worker, [e.task for e in envelopes if e.task.live], timing)
        finally:
            if slots is not None:
                slots.release()
        worked = time.perf_counter()
        for envelope in envelopes:
            for output in outputs:
                output.push(envelope, self.name)
        if trace is not None:
            spent = timing.prepare + timing.infer + timing.decode
            other = max(worked - taken - spent, 0.0)
            seconds = {
                "in": taken - started,
                "prep": timing.prepare,
                "midp": timing.infer,
                "postp": timing.decode + other,
                "out": time.perf_counter() - worked,
            }
            # At least a microsecond: the tracer divides by the sum, and its thread would die.
            actions = {name: max(int(s * 1e6), 1) for name, s in seconds.items()}
            trace.put({"name": self.name, "actions": actions})

    def _take(self, worker: Worker, channel: Any) -> tuple[list[Envelope], Optional[Slots]]:
        """Wait for one item and for a slot to work on it, then take what else is queued.

        One worker of the op does so at a time, so that items gather while it waits.
        """
        with self._intake:
            taken = [self._front(channel)]
            if not (taken[0].task.live and worker.concerns(taken[0].task)):
                return taken, None
            slots = self._slots if worker.on_cpu else None
            if slots is not None:
                slots.acquire(time.monotonic() + self._layer * PATIENCE_S)
            while len(taken) < self._batch_size and self._is_queued(channel):
                taken.append(self._front(channel))
            return taken, slots

    def _is_queued(self, channel: Any) -> bool:
        """Whether the channel has an item for this op; `front` would wait for one.

        Asking `front` with a short time-out instead costs a wait for Python's lock, with a slot
        in hand, at every empty queue.
        """
        if channel.size():
            return True
        # Of several ops that read a channel, the first to come moves an item to this buffer.
        ahead = channel._consumer_cursors[self.name] - channel._base_cursor
        return bool(ahead < len(channel._output_buf))

    def _front(self, channel: Any) -> Envelope:
        # Where several ops feed this one there is an item from each, all of the same task.
        item: dict[str, Envelope] = channel.front(self.name)
        return next(iter(item.values()))

    def _work(self, worker: Worker, tasks: list[Task], timing: Timing) -> None:
        """Run the worker; where a batch fails its tasks are run one by one."""
        if not tasks:
            return
        try:
            worker.run(tasks, timing)
        except Exception:
            _LOGGER.error("%s failed on %d request(s)", self.name, len(tasks), exc_info=True)
            if len(tasks) == 1:
                tasks[0].error = ServiceError(ErrorKind.INTERNAL)
                return
            for task in tasks:
                self._work(worker, [task], timing)
