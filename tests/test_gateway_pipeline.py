"""The gateway's way to the pipeline: what it reads, how it shares calls out, what it survives."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import grpc
import numpy as np
import orjson
import pytest

from client.rpc import METHOD, pipeline_messages
from gateway import connections
from gateway.errors import ApiError, ErrorCode
from gateway.pipeline import Pipeline, picture_error
from tests.cable import Cable
from tests.pictures import ONE, base64_of, blank, crowd
from tests.service import faces

pytestmark = pytest.mark.anyio

MESSAGES = pipeline_messages()
LARGEST = 64 * 1024 * 1024
# Far more than anything here takes, for machines that stand still at times.
SOON_S = 20
FACE = {"box": [1.0, 2.0, 3.0, 4.0], "score": 0.9, "embedding": base64_of(b"\0\0\x80\x3f")}
DOCUMENT = {
    "images": [{"width": 9, "height": 9, "faces": [FACE]}],
    "models": {"ArcFace": "recogniser"},
}


@pytest.fixture(scope="module")
def anyio_backend():
    """As in production."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module", autouse=True)
async def one_loop():
    """All tests here share a loop: gRPC hands late events of a closed one to the next."""
    return


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


@pytest.fixture
async def peer():
    one = await Peer().start()
    yield one
    await one.stop()


@pytest.fixture
async def other():
    one = await Peer().start()
    yield one
    await one.stop()


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


@pytest.mark.service
async def test_pictures_are_answered_in_their_order_each_with_its_faces_or_its_error(service):
    async with connected(f"127.0.0.1:{service.rpc_port}") as pipeline:
        assert pipeline.models == {}
        assert pipeline.last_success == 0.0
        one, none, bad = await ask(pipeline, ONE, blank(320, 240), base64_of(b"no picture"))
    (face,) = one.faces
    (expected,) = faces(service.post(ONE, want=["embedding"]))
    assert (one.width, one.height, one.error) == (512, 512, None)
    assert np.allclose(face.embedding, expected["embedding"], atol=1e-5)
    assert face.embedding.dtype == np.float32
    assert list(face.box) == expected["box"]
    assert face.score == expected["score"]
    assert (none.width, none.height, none.faces, none.error) == (320, 240, (), None)
    assert bad.faces == ()
    assert bad.error[0] == 5103
    assert pipeline.models["Detection"] == "blazeface"
    assert time.monotonic() - pipeline.last_success < SOON_S


@pytest.mark.service
async def test_a_face_has_what_was_asked_for_and_nothing_else(service):
    everything = ["landmarks", "embedding", "attributes", "liveness", "aligned"]
    async with connected(f"127.0.0.1:{service.rpc_port}") as pipeline:
        ((full,), (bare,)) = [
            (await ask(pipeline, ONE, want=want))[0].faces for want in (everything, [])
        ]
    assert np.shape(full.landmarks) == (5, 2)
    assert set(full.attributes) >= {"age", "gender"}
    assert 0 <= full.liveness <= 1
    assert full.aligned.startswith(b"\x89PNG")
    assert bare.landmarks is bare.embedding is bare.liveness is bare.aligned is None
    assert bare.angle is bare.quality is bare.mesh is None
    assert bare.attributes == {}


@pytest.mark.service
async def test_the_number_of_faces_and_their_score_can_be_limited(service):
    picture = crowd(3)
    async with connected(f"127.0.0.1:{service.rpc_port}") as pipeline:
        counts = [
            len((await ask(pipeline, picture, **options))[0].faces)
            for options in ({}, {"max_faces": 4}, {"max_faces": 10, "min_score": 1.0})
        ]
    assert counts == [1, 4, 0]


@pytest.mark.service
async def test_an_aligned_face_gives_the_embedding_that_its_picture_gave(service):
    async with connected(f"127.0.0.1:{service.rpc_port}") as pipeline:
        (whole,) = (await ask(pipeline, ONE, want=["embedding", "aligned"]))[0].faces
        (again,) = (await ask(pipeline, base64_of(whole.aligned), aligned=True))[0].faces
    assert float(np.dot(whole.embedding, again.embedding)) > 0.999


@pytest.mark.service
async def test_where_no_picture_can_be_used_each_still_has_its_own_error(service):
    async with connected(f"127.0.0.1:{service.rpc_port}") as pipeline:
        seen = await ask(pipeline, "", "$$$")
        assert [picture.error[0] for picture in seen] == [5102, 5101]
        assert pipeline.last_success == 0.0  # nothing was looked at


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


async def test_what_is_larger_than_the_pipeline_takes_is_not_sent(peer):
    pipeline = Pipeline([peer.address], 1, 100_000)
    with pytest.raises(ApiError) as caught:
        await ask(pipeline, "a" * 50_000, "b" * 50_000)
    assert caught.value.kind is ErrorCode.PICTURE_TOO_LARGE
    assert peer.calls == 0
    await pipeline.close()


async def test_a_pipeline_with_narrower_limits_is_understood(peer):
    async with connected(peer.address) as pipeline:
        with pytest.raises(ApiError) as caught:
            await ask(pipeline, "a" * 5000)
    assert caught.value.kind is ErrorCode.PICTURE_TOO_LARGE


async def test_options_are_sent_only_where_they_say_something(peer):
    async with connected(peer.address) as pipeline:
        await ask(pipeline, want={"mesh", "angle"})
        await ask(pipeline, min_score=0.7, aligned=True, max_faces=3)
    plain, full = [orjson.loads(request.value[-1]) for request in peer.requests]
    assert plain == {"want": ["angle", "mesh"], "max_faces": 1, "embedding_format": "base64"}
    assert (full["min_score"], full["aligned"], full["max_faces"]) == (0.7, True, 3)
    assert list(peer.requests[0].key) == ["image", "options"]


@pytest.mark.parametrize("as_list", [True, False])
async def test_a_mesh_comes_as_points(peer, as_list):
    points = np.arange(12, dtype=np.float32).reshape(4, 3)
    mesh = points.tolist() if as_list else base64_of(points.tobytes())
    face = {**FACE, "mesh": mesh, "angle": {"yaw": 1.5}, "quality": {"blur": 0.1}}
    document = {**DOCUMENT, "images": [{"width": 9, "height": 9, "faces": [face]}]}

    async def answer(context: Any) -> Any:
        return response(document)

    peer.answer = answer
    async with connected(peer.address) as pipeline:
        (seen,) = (await ask(pipeline, want=["mesh"]))[0].faces
    assert np.array_equal(seen.mesh, points)
    assert (seen.angle, seen.quality) == ({"yaw": 1.5}, {"blur": 0.1})


@pytest.mark.parametrize(
    "answer",
    [
        MESSAGES.Response(),
        MESSAGES.Response(key=["result"], value=["{"]),
        response([]),
        response({"images": []}),
        response({**DOCUMENT, "images": []}),
        response({**DOCUMENT, "images": [{"faces": []}]}),
        response({**DOCUMENT, "images": [{"width": 9, "height": 9, "faces": [{"box": [1]}]}]}),
        response(
            {
                **DOCUMENT,
                "images": [{"width": 9, "height": 9, "faces": [{**FACE, "embedding": "?"}]}],
            }
        ),
    ],
    ids=["empty", "no JSON", "a list", "no models", "too few", "no size", "no box", "no base64"],
)
async def test_an_answer_that_is_none_is_a_fault_of_the_pipeline(peer, answer):
    async def wrong(context: Any) -> Any:
        return answer

    peer.answer = wrong
    async with connected(peer.address) as pipeline:
        assert await refusal(pipeline) is ErrorCode.PIPELINE
        assert pipeline.last_success == 0.0


@pytest.mark.parametrize(("number", "kind"), [(3000, "PIPELINE"), (5006, "PICTURE_TOO_LARGE")])
async def test_an_error_of_the_whole_request_is_raised(peer, number, kind):
    async def failed(context: Any) -> Any:
        return MESSAGES.Response(err_no=number, err_msg="a sentence")

    peer.answer = failed
    async with connected(peer.address) as pipeline:
        assert await refusal(pipeline) is ErrorCode[kind]


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ((5101, 5102, 5103, 5106), ErrorCode.BAD_PICTURE),
        ((5006, 5104, 5105), ErrorCode.PICTURE_TOO_LARGE),
        ((3003,), ErrorCode.TOO_MANY_REQUESTS),
        ((3000, 3001, 6000, 5003), ErrorCode.PIPELINE),
    ],
)
def test_the_pipelines_numbers_become_the_apis(numbers, kind):
    assert {picture_error((number, "a sentence")).kind for number in numbers} == {kind}
