"""gRPC: the service of Paddle Serving's pipeline.proto."""

from __future__ import annotations

import logging
from typing import Any

import grpc
from paddle_serving_server.pipeline.proto import pipeline_service_pb2

from ops.config import Config, ConfigError
from ops.errors import ErrorKind, ServiceError
from ops.executor import Answer, Executor

_LOGGER = logging.getLogger(__name__)
METHOD = "/baidu.paddle_serving.pipeline_serving.PipelineService/inference"
# Messages are received of so many calls more than the queue takes, before they count as requests.
_WAITING = 64


class PipelineService(grpc.GenericRpcHandler):
    """`PipelineService.inference`, refused while the queue is full before its message is read.

    A message costs as much to receive as its refusal; under a load of several times what the
    service can do, that is time which the requests inside need. Therefore the method is a stream
    here, which gRPC starts before there is a message (a client sees no difference), and its calls
    are counted here: gRPC's own limit refuses with words of its own instead of the number. And
    this is a handler, no interceptor, of which every call costs some more tasks of the loop.
    """

    def __init__(self, name: str, executor: Executor, queue_length: int) -> None:
        self._name = name
        self._executor = executor
        self._most = queue_length + _WAITING
        self._open = 0
        self._refusal = grpc.stream_unary_rpc_method_handler(_refuse)
        self._method = grpc.stream_unary_rpc_method_handler(
            self._call,
            request_deserializer=pipeline_service_pb2.Request.FromString,
            response_serializer=pipeline_service_pb2.Response.SerializeToString,
        )

    def service(self, handler_call_details: Any) -> Any:
        """The method's handler, or one that refuses; None for another method."""
        if handler_call_details.method != METHOD:
            return None
        return self._refusal if self._executor.admission.full else self._method

    async def _call(self, messages: Any, context: Any) -> Any:
        if self._open >= self._most:
            await _refuse(messages, context)
        self._open += 1
        try:
            request = await context.read()
            if request is grpc.aio.EOF:
                return _response(Answer(ServiceError(ErrorKind.MALFORMED_REQUEST), ""))
            return await self._inference(request, context)
        finally:
            self._open -= 1

    async def _inference(self, request: Any, context: Any) -> Any:
        """A `pipeline_service.Response` for a `pipeline_service.Request`."""
        try:
            if request.name not in ("", self._name):
                raise ServiceError(ErrorKind.NO_SUCH_SERVICE)
            if request.tensors:
                # Paddle Serving's own RequestOp would unpickle them.
                raise ServiceError(ErrorKind.UNSUPPORTED_TENSOR)
            answer = await self._executor.answer(
                request.key, request.value, context.time_remaining()
            )
        except ServiceError as error:
            if error.kind.grpc_status:
                await _abort(context, error)
            answer = Answer(error, "")
        except Exception:
            _LOGGER.error("a request failed outside the stages", exc_info=True)
            answer = Answer(ServiceError(ErrorKind.INTERNAL), "")
        return _response(answer)


async def _refuse(messages: Any, context: Any) -> None:
    await _abort(context, ServiceError(ErrorKind.BUSY))


async def _abort(context: Any, error: ServiceError) -> None:
    status = grpc.StatusCode[error.kind.grpc_status or "INTERNAL"]
    await context.abort(status, f"{error.code} {error.message}")


def _response(answer: Answer) -> Any:
    response = pipeline_service_pb2.Response()
    if answer.error is not None:
        response.err_no, response.err_msg = answer.error.code, answer.error.message
    if answer.document:
        response.key.append("result")
        response.value.append(answer.document)
    return response


def make_server(config: Config, executor: Executor, shared: bool) -> Any:
    """A `grpc.aio` server on the configured address, not started yet.

    shared: replicas may listen on the port as well.
    Raises ConfigError where the port is taken.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", config.limits.request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.http2.lookahead_bytes", 4 * 1024 * 1024),
            ("grpc.http2.bdp_probe", 0),
            # Without this a second service on the port would take half of the requests.
            ("grpc.so_reuseport", int(shared)),
        ],
    )
    server.add_generic_rpc_handlers(
        (PipelineService(config.name, executor, config.limits.queue_length),)
    )
    address = f"{config.rpc_host}:{config.rpc_port}"
    try:
        server.add_insecure_port(address)
    except RuntimeError:
        raise ConfigError(
            f"{config.path}: rpc_port: cannot listen on {address}: the port is taken"
        ) from None
    return server
