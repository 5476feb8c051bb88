"""Servers in the place of the pipeline, and a gateway's connections to them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import grpc
import orjson
import pytest

from gateway.backends.pipeline import Pipeline
from gateway.errors import ApiError, ErrorCode
from paddle_fence.messages import METHOD, pipeline_messages
from tests.support.pictures import base64_of

MESSAGES = pipeline_messages()
LARGEST = 64 * 1024 * 1024
# Far more than anything here takes, for machines that stand still at times.
SOON_S = 20
FACE = {"box": [1.0, 2.0, 3.0, 4.0], "score": 0.9, "embedding": base64_of(b"\0\0\x80\x3f")}
DOCUMENT = {
    "images": [{"width": 9, "height": 9, "faces": [FACE]}],
    "models": {"ArcFace": "recogniser"},
}


def response(document: Any = DOCUMENT, number: int = 0) -> Any:
    return MESSAGES.Response(
        err_no=number, err_msg="a sentence", key=["result"], value=[orjson.dumps(document).decode()]
    )


class Peer:
    """A server in the place of a pipeline. answer: what it does with a call."""

    def __init__(self) -> None:
        self.calls = 0
        self.callers: list[str] = []
        self.requests: list[Any] = []
        self.cancelled = 0
        self.port = 0

    async def answer(self, context: Any) -> Any:
        return response()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self, most: int = 100) -> Peer:
        """At the same port as before, if there was a before."""
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4096)]
        self.server = grpc.aio.server(options=options, maximum_concurrent_rpcs=most)
        handler = grpc.unary_unary_rpc_method_handler(
            self._inference,
            request_deserializer=MESSAGES.Request.FromString,
            response_serializer=MESSAGES.Response.SerializeToString,
        )
        _, service, method = METHOD.split("/")
        self.server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, {method: handler})]
        )
        self.port = self.server.add_insecure_port(self.address)
        await self.server.start()
        return self

    async def stop(self) -> None:
        await self.server.stop(None)

    async def _inference(self, request: Any, context: Any) -> Any:
        self.calls += 1
        self.callers.append(context.peer())
        self.requests.append(request)
        try:
            return await self.answer(context)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@contextlib.asynccontextmanager
async def connected(*addresses: str, each: int = 1):
    """A Pipeline whose connections are all up."""
    pipeline = Pipeline(addresses, each, LARGEST)
    try:
        await until(lambda: all(up for _, up, _ in pipeline.state()))
        yield pipeline
    finally:
        await pipeline.close()


async def until(condition) -> None:
    end = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def ask(pipeline: Pipeline, *pictures: str, timeout: float = SOON_S, **options: Any) -> Any:
    want = options.pop("want", ["embedding"])
    return pipeline.see(pictures or ("",), want=want, timeout=timeout, **options)


async def refusal(pipeline: Pipeline, **options: Any) -> ErrorCode:
    with pytest.raises(ApiError) as caught:
        await ask(pipeline, **options)
    return caught.value.kind


def aborting(status: grpc.StatusCode, details: str):
    async def answer(context: Any) -> None:
        await context.abort(status, details)

    return answer


# Fixtures of the modules that take them.


def uvloop_backend():
    """As in production."""
    return "asyncio", {"use_uvloop": True}


async def one_loop_for_all():
    """The tests of a module share a loop: gRPC hands late events of a closed one to the next."""


async def running_peer():
    """A started server."""
    one = await Peer().start()
    yield one
    await one.stop()
