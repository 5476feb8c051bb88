"""The gateway's connections to the pipeline: how they share calls out, and what they survive."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import grpc
import pytest

from gateway.backends import connections
from gateway.backends.pipeline import Pipeline
from gateway.errors import ErrorCode
from tests.support.gateway.peer import (
    LARGEST,
    SOON_S,
    Peer,
    aborting,
    ask,
    connected,
    one_loop_for_all,
    refusal,
    response,
    running_peer,
    until,
    uvloop_backend,
)
from tests.support.processes.cable import Cable

pytestmark = pytest.mark.anyio
anyio_backend = pytest.fixture(scope="module")(uvloop_backend)
one_loop = pytest.fixture(scope="module", autouse=True)(one_loop_for_all)
peer = pytest.fixture(running_peer)
other = pytest.fixture(running_peer)


async def test_calls_go_to_the_connection_with_the_fewest_under_way(peer, other):
    end = asyncio.Event()

    async def wait(context: Any) -> Any:
        await end.wait()
        return response()

    peer.answer = other.answer = wait
    async with connected(peer.address, other.address, each=2) as pipeline:
        calls = [asyncio.ensure_future(ask(pipeline)) for _ in range(8)]
        await until(lambda: peer.calls + other.calls == 8)
        assert [under_way for _, _, under_way in pipeline.state()] == [2, 2, 2, 2]
        end.set()
        await asyncio.gather(*calls)
        assert [under_way for _, _, under_way in pipeline.state()] == [0, 0, 0, 0]


async def test_connections_to_one_address_are_connections_of_their_own(peer):
    async with connected(peer.address, each=3) as pipeline:
        for _ in range(6):
            await ask(pipeline)
    assert len(set(peer.callers)) == 3


async def test_an_address_without_a_pipeline_gets_no_calls(peer, other):
    await other.stop()
    pipeline = Pipeline([other.address, peer.address], 1, LARGEST)
    for _ in range(5):
        assert (await ask(pipeline))[0].width == 9
    assert peer.calls == 5
    assert pipeline.state()[0][:2] == (other.address, False)
    await pipeline.close()


async def test_a_call_whose_connection_is_lost_is_sent_once_more_to_another(peer, other):
    cable = Cable(peer.port)

    async def lost(context: Any) -> None:
        cable.cut()
        await asyncio.sleep(SOON_S)

    peer.answer = lost
    async with connected(f"127.0.0.1:{cable.port}", other.address) as pipeline:
        seen = [(await ask(pipeline))[0].width for _ in range(2)]
    assert seen == [9, 9]
    assert (peer.calls, other.calls) == (1, 2)


async def test_a_lost_connection_is_made_anew_for_the_call_that_it_broke(peer):
    cable = Cable(peer.port)

    async def lost(context: Any) -> None:
        del peer.answer
        cable.cut()
        cable.mend()

    peer.answer = lost
    async with connected(f"127.0.0.1:{cable.port}") as pipeline:
        assert (await ask(pipeline))[0].width == 9
    cable.cut()
    assert peer.calls == 2


async def test_a_call_to_a_pipeline_that_hangs_goes_to_another(peer, other, monkeypatch):
    sooner = {"grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms"}
    options = [(name, 300 if name in sooner else value) for name, value in connections._OPTIONS]
    monkeypatch.setattr(connections, "_OPTIONS", options)
    hangs = asyncio.Event()

    async def pass_on(reader, writer) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if hangs.is_set():
                    await asyncio.sleep(SOON_S)
                writer.write(data)

    async def accept(reader, writer) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", peer.port)
        await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))

    between = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = between.sockets[0].getsockname()[1]
    async with connected(f"127.0.0.1:{port}", other.address) as pipeline:
        hangs.set()
        seen = await asyncio.gather(ask(pipeline), ask(pipeline))
    between.close()
    assert [pictures[0].width for pictures in seen] == [9, 9]
    assert (peer.calls, other.calls) == (0, 2)


async def test_a_pipeline_that_is_stopping_is_left_to_another_and_not_asked_for_ever(peer, other):
    peer.answer = aborting(grpc.StatusCode.UNAVAILABLE, "3001 SHUTTING_DOWN: later.")
    async with connected(peer.address, other.address) as pipeline:
        assert (await ask(pipeline))[0].width == 9
        other.answer = peer.answer
        assert await refusal(pipeline) is ErrorCode.PIPELINE
    assert peer.calls + other.calls == 4


@pytest.mark.parametrize(
    ("status", "details", "kind"),
    [
        ("RESOURCE_EXHAUSTED", "3003 BUSY: The queue is full.", ErrorCode.TOO_MANY_REQUESTS),
        ("DEADLINE_EXCEEDED", "6000 TIMEOUT: Not answered in time.", ErrorCode.PIPELINE),
        ("INTERNAL", "something broke", ErrorCode.PIPELINE),
        ("UNIMPLEMENTED", "Method not found!", ErrorCode.PIPELINE),
    ],
)
async def test_a_refusal_is_not_sent_again(peer, other, status, details, kind):
    peer.answer = other.answer = aborting(grpc.StatusCode[status], details)
    async with connected(peer.address, other.address) as pipeline:
        assert await refusal(pipeline) is kind
    assert peer.calls + other.calls == 1


async def test_grpc_itself_refusing_too_many_calls_is_too_many_requests():
    peer = await Peer().start(most=1)
    end = asyncio.Event()

    async def wait(context: Any) -> Any:
        await end.wait()
        return response()

    peer.answer = wait
    async with connected(peer.address) as pipeline:
        first = asyncio.ensure_future(ask(pipeline))
        await until(lambda: peer.calls)
        assert await refusal(pipeline) is ErrorCode.TOO_MANY_REQUESTS
        end.set()
        await first
    await peer.stop()


async def test_a_pipeline_that_does_not_answer_is_waited_for_as_long_as_was_said(peer):
    async def wait(context: Any) -> None:
        await asyncio.sleep(SOON_S)

    peer.answer = wait
    async with connected(peer.address) as pipeline:
        assert await refusal(pipeline, timeout=0.1) is ErrorCode.PIPELINE
        assert pipeline.state()[0][2] == 0
    assert peer.calls == 1


async def test_a_caller_who_goes_away_takes_the_call_along(peer):
    async def wait(context: Any) -> None:
        await asyncio.sleep(SOON_S)

    peer.answer = wait
    async with connected(peer.address) as pipeline:
        call = asyncio.ensure_future(ask(pipeline))
        await until(lambda: peer.calls)
        call.cancel()
        await until(lambda: peer.cancelled)
        assert pipeline.state()[0][2] == 0


async def test_while_no_pipeline_is_there_a_call_is_refused(peer):
    await peer.stop()
    pipeline = Pipeline([peer.address], 2, LARGEST)
    assert await refusal(pipeline) is ErrorCode.PIPELINE
    assert await refusal(pipeline, timeout=0.05) is ErrorCode.PIPELINE
    await pipeline.close()


async def test_a_call_waits_a_moment_for_a_pipeline_that_comes_back(peer):
    async with connected(peer.address, each=2) as pipeline:
        await peer.stop()
        await until(lambda: not any(up for _, up, _ in pipeline.state()))
        call = asyncio.ensure_future(ask(pipeline))
        await asyncio.sleep(0.05)
        await peer.start()
        assert (await call)[0].width == 9
        await until(lambda: all(up for _, up, _ in pipeline.state()))
