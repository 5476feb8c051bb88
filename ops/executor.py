"""The DAG from a request's arrival to its answer."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from typing import Any

from paddle_serving_server.pipeline import RequestOp, ResponseOp
from paddle_serving_server.pipeline.channel import ChannelStopError
from paddle_serving_server.pipeline.dag import DAGExecutor
from paddle_serving_server.pipeline.proto import pipeline_service_pb2

from ops.config import Config
from ops.errors import ErrorKind, ServiceError
from ops.op import Envelope, StageOp
from ops.picture import PixelBudget
from ops.request import parse_request
from ops.stages import Stages
from ops.task import Task

_LOGGER = logging.getLogger(__name__)


class Executor(DAGExecutor):
    """Paddle Serving's DAG executor with deadlines, admission and answers of our own.

    The one it replaces waits for ever when a request is lost, keeps a lock and a condition
    variable for all requests together, and sends failed requests through the DAG again.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._budget = PixelBudget(config.limits.pixels_in_memory)
        self._waiting: dict[int, tuple[Task, threading.Event]] = {}
        self._numbers = itertools.count(1)
        self._in_flight = 0
        self._admission = threading.Lock()
        self.stages = Stages(config, self._budget)
        response_op, self._ops = build_dag(config, self.stages)
        super().__init__(response_op, _server_conf(config), -1)

    def start(self) -> None:
        """Wait until the stages are warm; start the thread that takes tasks out of the DAG."""
        for op in self._ops:
            op.wait_until_warm()
        threading.Thread(target=self._collect, name="Executor", daemon=True).start()

    @property
    def in_flight(self) -> int:
        """Requests that are in the service now."""
        return self._in_flight

    def call(self, message: Any) -> Any:
        """Answer one `pipeline_service.Request` with a `pipeline_service.Response`.

        Raises ServiceError of a kind that has a gRPC status.
        """
        arrived = time.monotonic()
        number = next(self._numbers)
        with self._admission:
            if self._in_flight >= self._config.limits.queue_length:
                raise ServiceError(ErrorKind.BUSY)
            self._in_flight += 1
        response = None
        try:
            response = self._answer(message, number, arrived)
            return response
        finally:
            with self._admission:
                self._in_flight -= 1
            self._trace(number, arrived, response is not None and response.err_no == 0)

    def _answer(self, message: Any, number: int, arrived: float) -> Any:
        try:
            task = parse_request(message, self._config.limits, arrived)
        except ServiceError as error:
            return _response(error, "")
        self._through_dag(task, number)
        if task.error is not None:
            if task.error.kind.grpc_status:
                raise task.error
            return _response(task.error, "")
        errors = [picture.error for picture in task.pictures]
        return _response(errors[0] if all(errors) else None, task.document)

    def _through_dag(self, task: Task, number: int) -> None:
        done = threading.Event()
        self._waiting[number] = (task, done)
        try:
            self._in_channel.push(Envelope(number, task), self.name)
        except ChannelStopError:
            self._waiting.pop(number, None)
            raise ServiceError(ErrorKind.SHUTTING_DOWN) from None
        if not done.wait(task.deadline - time.monotonic()):
            # Stages leave it alone from now on; `_collect` clears up when it comes out.
            task.cancelled = True
            raise ServiceError(ErrorKind.TIMEOUT)

    def _collect(self) -> None:
        while True:
            try:
                item = self._out_channel.front(self.name)
            except ChannelStopError:
                return
            (envelope,) = item.values()
            task, done = self._waiting.pop(envelope.id)
            if task.reserved_pixels:
                self._budget.release(task.reserved_pixels)
            if not task.document and task.error is None:
                task.error = ServiceError(ErrorKind.TIMEOUT)
            for picture in task.pictures:
                picture.pixels = None
            done.set()

    def _trace(self, number: int, arrived: float, success: bool) -> None:
        if self._tracer is not None:
            took = int((time.monotonic() - arrived) * 1e6)
            self._tracer.data_buffer().put(
                {"name": "DAG", "id": number, "succ": success, "actions": {f"call_{number}": took}}
            )


def build_dag(config: Config, stages: Stages) -> tuple[ResponseOp, list[StageOp]]:
    """The ops of ``config.yml``, wired; every worker's model is loaded."""
    entry = RequestOp()
    made: dict[str, Any] = {}

    def make(name: str) -> StageOp:
        if name not in made:
            op = config.op[name]
            inputs = [make(source) for source in op.inputs] or [entry]
            workers = [stages.worker(name, number) for number in range(op.concurrency)]
            made[name] = StageOp(name, inputs, workers, op.batch_size)
        result: StageOp = made[name]
        return result

    return ResponseOp(input_ops=[make("Response")]), list(made.values())


def _server_conf(config: Config) -> dict[str, Any]:
    """What Paddle Serving's executor reads of a configuration."""
    return {
        "build_dag_each_worker": False,
        "worker_num": config.limits.queue_length,
        "dag": {
            "retry": 1,
            "use_profile": False,
            "channel_size": 0,
            "channel_recv_frist_arrive": False,
            "is_thread_op": True,
            "tracer": {"interval_s": config.dag.tracer.interval_s},
        },
    }


def _response(error: ServiceError | None, document: str) -> Any:
    response = pipeline_service_pb2.Response()
    if error is not None:
        response.err_no, response.err_msg = error.code, error.message
    if document:
        response.key.append("result")
        response.value.append(document)
    return response
