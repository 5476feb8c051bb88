"""What is left of a call once it is over: nothing that would count as its connection's."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest

from ops.figures import Figures
from ops.serving.admission import Admission
from ops.serving.executor import Answer
from ops.serving.rpc_server import PipelineService
from paddle_fence.messages import METHOD
from runtime.telemetry import tracing
from settings.config import Tracing, load_config
from tests.conftest import ROOT

pytestmark = pytest.mark.attack
ASKED = b"\x0a\x05image\x12\x01!"
CALLS = 50


class Quick:
    """In the place of the executor; answers at once. admission, figures: as there."""

    def __init__(self) -> None:
        self.admission = Admission(4)
        self.figures = Figures(0)

    async def answer(self, keys: Any, values: Any, seconds: Any, span: Any) -> Answer:
        await asyncio.sleep(0)
        return Answer(None, "{}")


def calls_alive() -> int:
    return sum(type(one).__name__ == "RPCState" for one in gc.get_objects())


async def sent(call: Any, data: bytes, cancelled: bool = False) -> grpc.StatusCode:
    one = call(data, timeout=60)
    if cancelled:
        await asyncio.sleep(0.002)
        one.cancel()
    return await one.code()


async def left_behind() -> dict[str, int]:
    """How many calls are alive after so many of each kind, without Python's collector."""
    executor: Any = Quick()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((PipelineService(load_config(ROOT / "config.yml"), executor),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    left = {}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(METHOD)
        await sent(call, ASKED)
        gc.collect()
        gc.disable()
        try:
            for kind in ("answered", "malformed", "busy", "cancelled"):
                executor.admission = SimpleNamespace(full=kind == "busy", in_flight=0)
                data = b"noise" if kind == "malformed" else ASKED
                await asyncio.gather(*(sent(call, data, kind == "cancelled") for _ in range(CALLS)))
                await asyncio.sleep(0.2)
                left[kind] = calls_alive()
        finally:
            gc.enable()
    await server.stop(0)
    return left


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:9/"], ids=["untraced", "traced"])
def test_a_call_is_gone_as_soon_as_it_is_over_without_the_collector(endpoint):
    if endpoint:
        pytest.importorskip("opentelemetry.sdk", reason="traces need OpenTelemetry's packages")
    tracing.set_up(Tracing(endpoint=endpoint), "pipeline")
    try:
        left = asyncio.run(left_behind())
    finally:
        tracing.close(0.1)
    # One is the next call's; those of other tests in this process are gone.
    assert max(left.values()) < CALLS // 4, left
