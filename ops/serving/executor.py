"""The DAG from a request's arrival to its answer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.decoder_pool import DecoderPool
from ops.errors import ErrorKind, ServiceError
from ops.figures import Figures
from ops.pictures.pixel_budget import PixelBudget
from ops.registry import WorkerFactory
from ops.request_state import RequestState
from ops.request_trace import RequestTrace
from ops.serving.admission import Admission
from ops.serving.scheduler import Scheduler
from ops.serving.stage_op import Envelope, StageOp
from ops.stages.request import parse_request
from paddle_fence.internals import (
    channel_ends,
    executor_settings,
    stop_channels,
    threads_of_ops,
    trace_buffer,
)
from paddle_fence.pipeline import ChannelStopError, DAGExecutor, RequestOp, ResponseOp
from settings.config import Config
from settings.stages import LAST

if TYPE_CHECKING:
    from runtime.telemetry.spans import Span

# Far more than one stage takes for one batch.
_LONGEST_STEP_S = 120.0


@dataclass(frozen=True)
class Answer:
    """What a client gets: `document` is JSON, `error` is set where no picture could be used."""

    error: ServiceError | None
    document: str


class Executor(DAGExecutor):
    """Paddle Serving's DAG executor for an event loop, with deadlines and admission.

    The one it replaces blocks a thread for every request, waits for ever when a request is
    lost, and sends failed requests through the DAG again. All methods but the ones that say
    otherwise are for the event loop's thread.

    models: by stage, the names of those that it runs. engines: by stage, what runs them. notes:
    lines about models that could not be run as fast as they might.
    """

    def __init__(self, config: Config, replica: int = 0) -> None:
        """Load the models and wait until the stages are warm."""
        self._config = config
        limits = config.limits
        self._budget = PixelBudget(limits.pixels_in_memory, limits.picture_pixels)
        self._waiting: dict[int, tuple[RequestState, asyncio.Future[None]]] = {}
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        cores = config.cores or -(-len(os.sched_getaffinity(0)) // config.replicas)
        self._scheduler = Scheduler(cores)
        # Half of the places are left to pictures that do not take long.
        waiting = max(limits.queue_length // 2, 1)
        decoders = DecoderPool(cores, waiting, limits.picture_pixels, self._scheduler.wake)
        self.figures = Figures(replica, limits.queue_length)
        self.admission = Admission(
            limits.queue_length, lambda: decoders.requests, self.figures.refused
        )
        factory = WorkerFactory(config, self._budget, replica, decoders)
        self.models, self.engines, self.notes = factory.models, factory.engines, factory.notes
        for name, models in factory.running.items():
            for model in models:
                way = model.way
                self.figures.model(name, model.manifest.name, way.engine, way.precision)
        response_op, ops = build_dag(
            config, factory, self._scheduler, self._call_collect, self.figures
        )
        settings = executor_settings(limits.queue_length, config.dag.tracer.interval_s)
        super().__init__(response_op, settings, -1)
        self._ends = channel_ends(self)
        self._trace_buffer = trace_buffer(self)
        self._scheduler.start()
        for op in ops:
            op.wait_until_warm()

    def is_well(self) -> bool:
        """Whether the threads get on with their work.

        One that is stuck in a library's own code cannot be helped from inside: no request would
        come to its end, and none of what it holds would be given back.
        """
        allowed = max(self._config.limits.request_timeout_ms / 1000.0, _LONGEST_STEP_S)
        return self._scheduler.longest_step_s() < allowed

    def start(self) -> None:
        """Begin to take finished requests out of the DAG; call it in the running event loop."""
        self._loop = asyncio.get_running_loop()

    def stop(self, seconds: float) -> bool:
        """End the threads that compute; whether all have ended within that time.

        For the end of the process: Python ends a thread that comes back from Paddle then in a way
        that C++ answers with abort.
        """
        stop_channels(self)
        give_up = time.monotonic() + seconds
        threads = [*self._scheduler.stop(), *threads_of_ops(self)]
        for thread in threads:
            thread.join(max(give_up - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in threads)

    async def answer(
        self,
        keys: Sequence[str],
        values: Sequence[str],
        seconds: float | None = None,
        span: Span | None = None,
    ) -> Answer:
        """Answer one request.

        keys, values: as in the wire format. seconds: how long the client waits, if it says so.
        span: of the request, where it is traced; the stages' are below it.
        Raises ServiceError of a kind that has a gRPC status.
        """
        arrived = time.monotonic()
        allowed = self._config.limits.request_timeout_ms / 1000.0
        deadline = arrived + (allowed if seconds is None else min(seconds, allowed))
        number = next(self._numbers)
        place = self.admission.enter(deadline - arrived)
        success = False
        request: RequestState | None = None
        try:
            request = parse_request(keys, values, self._config.limits, deadline)
            if span is not None:
                request.trace = RequestTrace(span)
            answer = await self._answer(request, number)
            success = answer.error is None
            if span is not None and answer.error is not None:
                span.fail(answer.error.kind.name)
            return answer
        except ServiceError as error:
            if request is not None:
                raise
            return Answer(error, "")
        finally:
            self.admission.leave(place, success, aside=request is not None and request.costly)
            self._trace(number, arrived, success)

    async def _answer(self, request: RequestState, number: int) -> Answer:
        await self._through_dag(request, number)
        if request.error is not None:
            if request.error.kind.grpc_status:
                raise request.error
            return Answer(request.error, "")
        errors = [picture.error for picture in request.pictures]
        return Answer(errors[0] if all(errors) else None, request.document)

    async def _through_dag(self, request: RequestState, number: int) -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._waiting[number] = (request, done)
        timer = loop.call_later(request.deadline - time.monotonic(), _expire, done)
        try:
            self._ends.entrance.push(Envelope(number, request), self.name)
            self._scheduler.wake()
            await done
        except ChannelStopError:
            self._waiting.pop(number, None)
            raise ServiceError(ErrorKind.SHUTTING_DOWN) from None
        finally:
            # Whoever waited is gone or has the answer; what is still in a queue is skipped.
            request.cancelled = True
            timer.cancel()
            if request.postponed:
                self._scheduler.wake()

    def _call_collect(self) -> None:
        """Have finished requests collected; for the threads that compute."""
        if self._loop is not None:
            # A loop that has been closed has nobody who waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        released = False
        while self._ends.exit.size():
            try:
                (envelope,) = self._ends.exit.front(self.name).values()
            except ChannelStopError:
                return
            if envelope.request.reservation is not None:
                released = True
                self._budget.release(envelope.request.reservation)
            self._finish(envelope.id)
        if released:
            self._scheduler.wake()

    def _finish(self, number: int) -> None:
        request, done = self._waiting.pop(number)
        for picture in request.pictures:
            picture.pixels = None
        if done.done():
            return
        if not request.document and request.error is None:
            request.error = ServiceError(ErrorKind.TIMEOUT)
        done.set_result(None)

    def _trace(self, number: int, arrived: float, success: bool) -> None:
        seconds = time.monotonic() - arrived
        self.figures.request(seconds, success)
        if self._trace_buffer is not None:
            took = int(seconds * 1e6)
            self._trace_buffer.put(
                {"name": "DAG", "id": number, "succ": success, "actions": {f"call_{number}": took}}
            )


def _expire(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_exception(ServiceError(ErrorKind.TIMEOUT))


def build_dag(
    config: Config,
    factory: WorkerFactory,
    scheduler: Scheduler,
    finished: Callable[[], None],
    figures: Figures,
) -> tuple[ResponseOp, list[StageOp]]:
    """The ops of ``config.yml``, wired; every worker's model is loaded.

    finished: called by a thread when requests have left the last op.
    """
    entry = RequestOp()
    made: dict[str, StageOp] = {}

    def make(name: str) -> StageOp:
        if name not in made:
            op = config.op[name]
            inputs = [make(source) for source in op.inputs] or [entry]
            workers = [factory.worker(name, number) for number in range(op.concurrency)]
            after = finished if name == LAST else None
            made[name] = StageOp(name, inputs, workers, op.batch_size, scheduler, figures, after)
        return made[name]

    return ResponseOp(input_ops=[make(LAST)]), list(made.values())
