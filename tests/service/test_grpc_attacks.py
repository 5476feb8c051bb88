"""Attacks on the pipeline's gRPC port while others recognise faces: they are answered."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from bench.attacks import calls as attack_grpc
from bench.attacks.http2 import Connection
from ops.errors import ErrorKind
from paddle_fence.messages import METHOD
from tests.support.pictures import ONE
from tests.support.service import MESSAGES, Service, faces, wait_until

pytestmark = pytest.mark.attack
MB = 1 << 20
# What one attacker may cost for a moment: the most is for headers, 1 MB for each of its calls.
PEAK_BYTES = 400 * MB
BACK_S = 60
FLOODS = [
    attack_grpc.rapid_reset,
    attack_grpc.streams_flood,
    attack_grpc.ping_flood,
    attack_grpc.settings_flood,
    attack_grpc.window_update_flood,
    attack_grpc.empty_data_flood,
    attack_grpc.continuation_flood,
    attack_grpc.header_bomb,
    attack_grpc.churn,
    attack_grpc.garbage,
]


class Others:
    """Clients who recognise the same picture over gRPC, HTTP and REST. answered: by each way."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stub = service.stub()
        self._client = httpx.Client(timeout=60)
        self._end = threading.Event()
        self.answered = {"gRPC": 0, "HTTP": 0, "REST": 0}
        self.failures: list[str] = []
        self.peak = 0

    def ask(self, way: str) -> None:
        """One recognition. Raises where it is not answered."""
        if way == "gRPC":
            request = MESSAGES.Request(key=["image"], value=[ONE])
            answer = self._stub.inference(request, timeout=60)
            assert len(faces(answer)) == 1
        elif way == "HTTP":
            content = {"key": ["image"], "value": [ONE]}
            assert len(faces(self._client.post(self._service.url, json=content).json())) == 1
        else:
            url = f"{self._service.gateway_url}/face-api/v3/face/detect"
            found = self._client.post(url, json={"image": ONE, "image_type": "BASE64"}).json()
            assert found["error_code"] == 0, found

    def _run(self, way: str) -> None:
        while not self._end.is_set():
            try:
                self.ask(way)
            except (AssertionError, grpc.RpcError, httpx.HTTPError, ValueError, KeyError) as error:
                self.failures.append(f"{way}: {type(error).__name__} {str(error)[:200]}")
            else:
                self.answered[way] += 1

    def _watch(self) -> None:
        pipeline = self._service.pipeline()
        while not self._end.is_set():
            self.peak = max(self.peak, pipeline.memory_info().rss)
            time.sleep(0.02)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """While it lasts, each of them asks all the time, and is answered at least once."""
        threads = [threading.Thread(target=self._run, args=(way,)) for way in self.answered]
        threads.append(threading.Thread(target=self._watch))
        for thread in threads:
            thread.start()
        try:
            yield
            assert wait_until(lambda: all(self.answered.values()), 60), self.answered
        finally:
            self._end.set()
            for thread in threads:
                thread.join()


def resident(service: Service) -> int:
    return int(service.pipeline().memory_info().rss)


@contextlib.contextmanager
def nobody_notices(service: Service, peak: int = PEAK_BYTES) -> Iterator[Others]:
    """Others are answered meanwhile, memory is bounded, and afterwards it is back."""
    pid = service.pipeline().pid
    others = Others(service)
    for way in others.answered:
        others.ask(way)
    before = resident(service)
    with others.at_work():
        yield others
    assert not others.failures
    assert others.peak < before + peak
    assert wait_until(lambda: resident(service) < before * 1.1 + 20 * MB, BACK_S), (
        before,
        resident(service),
    )
    assert service.pipeline().pid == pid


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
def test_a_flood_is_bounded_and_others_are_answered(service, flood):
    with nobody_notices(service):
        assert flood(service.rpc_port, 1.0) > 0


def test_calls_without_a_message_hold_no_place(service):
    with nobody_notices(service), attack_grpc.calls_without_message(service.rpc_port) as held:
        time.sleep(1)
        # Newcomers were let in, the oldest gave way and were told.
        assert wait_until(lambda: held[0].receive() and b"3003 BUSY" in held[0].answer, 30)


def test_messages_that_do_not_end_hold_no_place(service):
    with nobody_notices(service), attack_grpc.half_messages(service.rpc_port) as held:
        for _ in range(5):
            attack_grpc.drip(held)
            time.sleep(0.1)


def test_answers_that_are_not_read_hold_no_place(service):
    request = MESSAGES.Request(key=["image"], value=["!"]).SerializeToString()
    with nobody_notices(service), attack_grpc.answers_not_read(service.rpc_port, request, 32, 8):
        time.sleep(1)


@pytest.mark.parametrize("preface", [False, True])
def test_connections_beyond_a_number_are_closed_and_others_are_answered(service, preface):
    with (
        nobody_notices(service),
        attack_grpc.silent_connections(service.rpc_port, 3000, preface) as opened,
    ):
        assert opened > 2000
        pipeline = service.pipeline()
        assert wait_until(lambda: pipeline.num_fds() < 2300, 60)


def test_a_compressed_message_is_refused_before_it_is_unpacked(service):
    with nobody_notices(service, 100 * MB):
        answer = attack_grpc.gzip_bomb(service.rpc_port, 300, 60.0)
        assert b"Compression algorithm 'gzip' is disabled" in answer
        assert str(grpc.StatusCode.UNIMPLEMENTED.value[0]).encode() in answer


def test_a_client_that_compresses_is_told_so(service):
    address = f"127.0.0.1:{service.rpc_port}"
    with (
        grpc.insecure_channel(address, compression=grpc.Compression.Gzip) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary(METHOD)(bytes(100_000), timeout=60)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def ask(service: Service, data: bytes) -> Any:
    """The answer to a call with these bytes as its message."""
    with grpc.insecure_channel(f"127.0.0.1:{service.rpc_port}") as channel:
        call = channel.unary_unary(METHOD, response_deserializer=MESSAGES.Response.FromString)
        return call(data, timeout=60)


@pytest.mark.parametrize("name", attack_grpc.MALFORMED_MESSAGES)
def test_a_malformed_message_is_answered_with_its_number(service, name):
    with pytest.raises(grpc.RpcError) as caught:
        ask(service, attack_grpc.MALFORMED_MESSAGES[name])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(f"{ErrorKind.MALFORMED_REQUEST.code} MALFORMED")
    assert len(faces(service.call(ONE))) == 1


def test_a_message_of_empty_strings_is_refused_after_a_few(service):
    with nobody_notices(service, 200 * MB):
        answer = ask(service, b"\x0a\x00\x12\x00" * 8_000_000)
        assert answer.err_no == ErrorKind.TOO_MANY_PICTURES.code


def test_another_method_is_unimplemented(service):
    with (
        grpc.insecure_channel(f"127.0.0.1:{service.rpc_port}") as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary("/some/method")(b"", timeout=60)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("data", [b"\x0a\x05image\x12\x01!", b"noise"], ids=["answer", "status"])
def test_a_connection_may_have_any_number_of_calls_one_after_the_other(service, data):
    with grpc.insecure_channel(f"127.0.0.1:{service.rpc_port}") as channel:
        call = channel.unary_unary(METHOD)
        statuses = {call.future(data, timeout=60).code() for _ in range(1500)}
    wanted = grpc.StatusCode.INVALID_ARGUMENT if data == b"noise" else grpc.StatusCode.OK
    assert statuses == {wanted}


@pytest.fixture(scope="module")
def narrow(models, tmp_path_factory):
    """A service with little room for uploads and little patience."""

    def change(settings: dict[str, Any]) -> None:
        settings["limits"].update(upload_bytes=16 * MB, request_timeout_ms=8000)

    one = Service(tmp_path_factory.mktemp("narrow"), change, gateway=True).start()
    yield one
    one.kill()


def test_messages_on_their_way_have_a_budget(narrow):
    with (
        nobody_notices(narrow, 600 * MB),
        attack_grpc.unfinished_messages(narrow.rpc_port, 16, 4, 50) as held,
    ):
        assert wait_until(lambda: any(map(was_refused, held)), 60)


def was_refused(connection: Connection) -> bool:
    connection.socket.settimeout(0.05)
    connection.receive()
    return b"Too much is being uploaded" in connection.answer


def test_a_message_that_does_not_come_in_time_is_told_so(narrow):
    with attack_grpc.calls_without_message(narrow.rpc_port, 1, 1) as (call,):
        call.socket.settimeout(60)
        while b"6000 TIMEOUT" not in call.answer:
            assert call.receive(), call.answer


def test_who_does_not_take_answers_loses_the_connection(narrow):
    request = MESSAGES.Request(key=["image"], value=["!"]).SerializeToString()
    with attack_grpc.answers_not_read(narrow.rpc_port, request, 4, 4) as (connection,):
        assert wait_until(lambda: not connection.drain(), 60)
