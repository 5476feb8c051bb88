"""The service over gRPC."""

from __future__ import annotations

import itertools
import os
import time

# gRPC writes about its own poller to the standard error stream when a process ends early.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
import grpc

from client.errors import (
    ClientError,
    ConnectionLostError,
    ServiceTimeoutError,
    UnreachableError,
    refusal,
)
from client.pipeline.answer import Answer, Options, read_answer
from client.pipeline.messages import METHOD, Request, Response

DEFAULT_ADDRESS = "127.0.0.1:18091"
# gRPC has one status, UNAVAILABLE, for "nobody there" and "lost on the way"; only its text differs.
NOBODY_THERE = ("failed to connect", "dns resolution failed", "errors resolving")
MESSAGE_LIMIT = 256 * 1024 * 1024  # bytes, the limit of Paddle Serving's gRPC server


class RpcTransport:
    """Sends requests to ``address`` (HOST:PORT); an answer may take ``timeout`` seconds."""

    def __init__(self, address: str = DEFAULT_ADDRESS, timeout: float = 30.0):
        """Raises ValueError for an address that is not HOST:PORT."""
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"not HOST:PORT: {address}")
        self.address = address
        self.timeout = timeout
        # A number a request, which the service's log repeats: the milliseconds of the start
        # tell apart the runs of this client, the count the requests in a run.
        self._log_ids = itertools.count(int(time.time() * 1000))
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_send_message_length", MESSAGE_LIMIT),
                ("grpc.max_receive_message_length", MESSAGE_LIMIT),
                # A proxy set for the internet would get, and break, requests to this machine.
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self._inference = self._channel.unary_unary(
            METHOD,
            request_serializer=Request.SerializeToString,
            response_deserializer=Response.FromString,
        )

    def __enter__(self) -> RpcTransport:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; requests under way fail."""
        self._channel.close()

    def predict(self, picture: str, options: Options) -> Answer:
        """See :class:`client.pipeline.transport.Transport`."""
        keys, values = options.request(picture)
        log_id = next(self._log_ids)
        request = Request(key=keys, value=values, logid=log_id)
        try:
            response = self._inference(request, timeout=self.timeout)
        except grpc.RpcError as error:
            raise self._failure(error, log_id) from None
        return read_answer(response.err_no, response.err_msg, response.key, response.value)

    def _failure(self, error: grpc.RpcError, log_id: int) -> ClientError:
        code, details = error.code(), error.details() or ""
        answer = refusal(code.name, details)
        if answer.code != code.name:
            return answer
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and "Deadline Exceeded" in details:
            return ServiceTimeoutError(self.timeout)  # gRPC's own words: the service did not answer
        if code is grpc.StatusCode.UNAVAILABLE:
            lowered = details.lower()
            if any(words in lowered for words in NOBODY_THERE):
                return UnreachableError(f"no service at {self.address} ({_last_reason(details)})")
            return ConnectionLostError(f"{self.address}: {details}")
        return ClientError(code.name, f"{answer.message} (log id {log_id})")


def _last_reason(details: str) -> str:
    """The end of gRPC's chain of reasons, e.g. ``Connection refused``."""
    return details.rsplit("remote host: ", 1)[-1]
