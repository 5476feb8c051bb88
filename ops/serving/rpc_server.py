"""gRPC: the service of Paddle Serving's pipeline.proto."""

from __future__ import annotations

import logging
from typing import Any

import grpc

from ops.errors import ErrorKind, ServiceError
from ops.serving.executor import Answer, Executor
from ops.serving.rpc_calls import Call, Calls, aborted
from ops.serving.rpc_guard import Guard
from ops.serving.rpc_message import MalformedMessageError, read_message
from paddle_fence.messages import METHOD, pipeline_messages
from runtime.listening import rpc_place
from runtime.telemetry import tracing
from settings.config import Config

_LOGGER = logging.getLogger(__name__)
_MESSAGES = pipeline_messages()
_TRACED = {"network.protocol.name": "grpc"}
# Messages are received of so many calls more than the queue takes, before they count as requests.
_WAITING = 64
# Calls that a connection may have at a time, at least.
_STREAMS = 256


class PipelineService(grpc.GenericRpcHandler):
    """`PipelineService.inference`, refused while the queue is full before its message is read.

    A message costs as much to receive as its refusal; under a load of several times what the
    service can do, that is time which the requests inside need. Therefore the method is a stream
    here, which gRPC starts before there is a message (a client sees no difference), and its calls
    are counted here: gRPC's own limit refuses with words of its own instead of the number. And
    this is a handler, no interceptor, of which every call costs some more tasks of the loop.

    A call counts as a request once its message has arrived. Those that wait for theirs have a
    bound of their own, and at it give way to others; see `ops/serving/rpc_calls.py`.
    """

    def __init__(self, config: Config, executor: Executor) -> None:
        self._config = config
        self._executor = executor
        self.calls = Calls()
        self._refusal = grpc.stream_unary_rpc_method_handler(self._refuse)
        # Without gRPC's own reading of messages, whose failure is answered with a status that
        # has no number.
        self._method = grpc.stream_unary_rpc_method_handler(
            self._call,
            response_serializer=_MESSAGES.Response.SerializeToString,
        )

    def service(self, handler_call_details: Any) -> Any:
        """The method's handler, or one that refuses; None for another method."""
        if handler_call_details.method != METHOD:
            return None
        return self._refusal if self._executor.admission.full else self._method

    async def _call(self, messages: Any, context: Any) -> Any:
        call = self.calls.enter(context)
        del messages, context
        answer = await self._answer(call)
        del call
        return _raised(answer)

    async def _answer(self, call: Call) -> Any:
        """The response to a call, or what has to be raised where it has a status already."""
        waiting = self._config.limits.queue_length + _WAITING - self._executor.admission.in_flight
        try:
            data = await self.calls.message(call, waiting)
            if isinstance(data, BaseException):
                return data
            if data is grpc.aio.EOF:
                raise ServiceError(ErrorKind.MALFORMED_REQUEST)
            answer = await self._inference(data, call.context)
        except MalformedMessageError as error:
            self.calls.leave(call)
            return await aborted(call.context, error, "INVALID_ARGUMENT")
        except ServiceError as error:
            self.calls.leave(call)
            if error.kind.grpc_status:
                return await aborted(call.context, error)
            return _response(Answer(error, ""))
        self.calls.leave(call)
        return _response(answer)

    async def _inference(self, data: bytes, context: Any) -> Answer:
        """The answer to a message. Raises ServiceError."""
        try:
            message = read_message(data, self._config.limits.request_pictures)
            if message.name not in ("", self._config.name):
                raise ServiceError(ErrorKind.NO_SUCH_SERVICE)
            if message.tensors:
                # Paddle Serving's own RequestOp would unpickle them.
                raise ServiceError(ErrorKind.UNSUPPORTED_TENSOR)
            with tracing.request("pipeline request", _metadata(context), _TRACED) as span:
                return await self._executor.answer(
                    message.keys, message.values, context.time_remaining(), span
                )
        except ServiceError:
            raise
        except Exception:
            _LOGGER.error("a request failed outside the stages", exc_info=True)
            raise ServiceError(ErrorKind.INTERNAL) from None

    async def _refuse(self, messages: Any, context: Any) -> Any:
        self._executor.figures.refused()
        self.calls.leave(self.calls.enter(context))
        ended = await aborted(context, ServiceError(ErrorKind.BUSY))
        del messages, context
        return _raised(ended)


def _metadata(context: Any) -> Any:
    """What came with the call, where somebody wants to know."""
    return (context.invocation_metadata() or ()) if tracing.is_on() else ()


def _raised(answer: Any) -> Any:
    """An answer; an exception is raised, by a frame that holds no call."""
    if not isinstance(answer, BaseException):
        return answer
    try:
        raise answer
    finally:
        del answer


def _response(answer: Answer) -> Any:
    response = _MESSAGES.Response()
    if answer.error is not None:
        response.err_no, response.err_msg = answer.error.code, answer.error.message
    if answer.document:
        response.key.append("result")
        response.value.append(answer.document)
    return response


class RpcServer:
    """The `grpc.aio` server on the configured address; made in the running loop."""

    def __init__(self, config: Config, executor: Executor, shared: bool) -> None:
        """shared: replicas may listen on the port as well.

        Raises ConfigError where the port is taken.
        """
        service = PipelineService(config, executor)
        self._timeout_s = config.limits.request_timeout_ms / 1000.0
        self._guard = Guard(
            service.calls, config.rpc_port, self._timeout_s, config.limits.upload_bytes
        )
        self._server = grpc.aio.server(options=_options(config, shared))
        self._server.add_generic_rpc_handlers((service,))
        try:
            self._server.add_insecure_port(f"{config.rpc_host}:{config.rpc_port}")
        except RuntimeError:
            raise rpc_place(config).refusal(config, "the port is taken") from None

    async def start(self) -> None:
        """Begin to serve."""
        await self._server.start()
        self._guard.start()

    async def stop(self) -> None:
        """Finish the requests that have arrived; calls without a message are told to come back."""
        self._guard.hurry()
        await self._server.stop(self._timeout_s)


def _options(config: Config, shared: bool) -> list[tuple[str, int]]:
    """The channel arguments (grpc/impl/channel_arg_names.h)."""
    return [
        ("grpc.max_receive_message_length", config.limits.request_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.http2.lookahead_bytes", 4 * 1024 * 1024),
        ("grpc.http2.bdp_probe", 0),
        # Without this a second service on the port would take half of the requests.
        ("grpc.so_reuseport", int(shared)),
        # Of a connection. A call costs 20 KB before it is known here, also one that is cancelled
        # in the same breath: without a bound 100 MB a second (CVE-2023-44487). More than any
        # client has at a time, since gRPC refuses what is over it without our number.
        ("grpc.max_concurrent_streams", max(config.limits.queue_length + _WAITING, _STREAMS)),
        # Read of a connection before others have their turn; each may have a block of headers
        # that takes milliseconds.
        ("grpc.http2.max_requests_per_read", 8),
        ("grpc.max_metadata_size", 4 * 1024),
        ("grpc.absolute_max_metadata_size", 8 * 1024),
        # Calls refused for their headers would be kept for up to a second before they are told.
        ("grpc.http.tarpit", 0),
        # No count of PINGs: gRPC wants to close a connection at the third, cannot while the
        # client does not read, and then keeps an error of 4 KB for each that follows. Without
        # it the acknowledgements are bounded, at 10,000, and reading stops.
        ("grpc.http2.max_ping_strikes", 0),
        # Identity alone: 1.5 MB unpack to 1.5 GB before their size is looked at, and base64 of
        # pictures gains nothing. A client that compresses is answered UNIMPLEMENTED.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        # To send the first bytes of HTTP/2.
        ("grpc.server_handshake_timeout_ms", 10_000),
        # A connection without calls is closed; gRPC's clients make another one unasked.
        ("grpc.max_connection_idle_ms", 300_000),
    ]
