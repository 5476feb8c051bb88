"""The running service: answers over HTTP and gRPC, bad input, load."""

from __future__ import annotations

import base64
import io
import json
import pickle
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import numpy as np
import psutil
import pytest
from paddle_serving_server.pipeline import PipelineClient
from paddle_serving_server.pipeline.proto import pipeline_service_pb2
from PIL import Image

from ops.chain import Chain
from ops.errors import ErrorKind
from tests import pictures
from tests.conftest import ROOT
from tests.service import Service, document, faces, wait_until

ONE = pictures.base64_of(pictures.encode(pictures.astronaut()))


def difference(a: list[dict], b: list[dict]) -> float:
    """0 for the same faces; boxes count in pixels, embeddings as 100 x (1 - cosine)."""
    if len(a) != len(b):
        return float("inf")
    worst = 0.0
    for left, right in zip(a, b):
        worst = max(worst, np.abs(np.subtract(left["box"], right["box"])).max())
        worst = max(worst, np.abs(np.subtract(left["landmarks"], right["landmarks"])).max())
        worst = max(worst, 100 * (1 - np.dot(left["embedding"], right["embedding"])))
    return float(worst)


def crowd(columns: int, rows: int = 2) -> str:
    """The sample face several times in one picture."""
    head = pictures.astronaut()[0:256, 96:352]
    return pictures.base64_of(pictures.encode(np.tile(head, (rows, columns, 1))))


def blank(width: int = 320, height: int = 240) -> str:
    return pictures.base64_of(pictures.encode(np.full((height, width, 3), 90, np.uint8)))


def test_a_face_is_found_with_landmarks_and_an_embedding_of_unit_length(service):
    answer = service.post(ONE)
    assert answer["err_no"] == 0
    result = document(answer)
    (picture,) = result["images"]
    assert (picture["width"], picture["height"]) == (512, 512)
    (face,) = picture["faces"]
    x1, y1, x2, y2 = face["box"]
    assert 150 < x1 < 220
    assert 50 < y1 < 120
    assert 250 < x2 < 310
    assert 140 < y2 < 240
    assert 0.5 < face["score"] <= 1
    eyes, mouth = face["landmarks"][:2], face["landmarks"][3:]
    assert max(y for _, y in eyes) < min(y for _, y in mouth)
    assert eyes[0][0] < eyes[1][0]
    assert np.linalg.norm(face["embedding"]) == pytest.approx(1, abs=1e-4)
    assert set(result["models"]) == {"Detection", "Landmark", "ArcFace", "Attributes", "Liveness"}
    assert set(face) == {"box", "score", "landmarks", "embedding"}


def test_http_grpc_and_the_published_client_give_the_same_answer(service, capsys):
    over_http = faces(service.post(ONE))
    assert difference(over_http, faces(service.call(ONE))) == 0
    client = PipelineClient()
    client.connect([f"127.0.0.1:{service.rpc_port}"])
    assert difference(over_http, faces(client.predict(feed_dict={"image": ONE}))) == 0


def test_the_service_answers_what_the_library_calls_answer(service):
    chain = Chain.from_config(ROOT / "config.yml")
    (expected,) = chain.analyze(
        np.asarray(Image.open(io.BytesIO(pictures.encode(pictures.astronaut()))))
    )
    (face,) = faces(service.post(ONE))
    assert np.dot(face["embedding"], expected.embedding) > 0.9999
    assert np.abs(face["box"] - expected.box).max() < 0.01


def test_every_part_can_be_asked_for(service):
    want = ["landmarks", "embedding", "attributes", "liveness", "aligned"]
    (face,) = faces(service.post(ONE, want=want))
    assert 15 < face["attributes"]["age"] < 70
    assert face["attributes"]["gender"]["type"] in ("male", "female")
    assert face["attributes"]["emotion"]["type"]
    assert 0 <= face["liveness"]["score"] <= 1
    crop = np.asarray(Image.open(io.BytesIO(base64.b64decode(face["aligned"]))))
    assert crop.shape == (112, 112, 3)
    (box_only,) = faces(service.post(ONE, want=[]))
    assert set(box_only) == {"box", "score"}


def test_an_aligned_face_sent_back_gives_the_same_embedding(service):
    (face,) = faces(service.post(ONE, want=["aligned", "embedding"]))
    (again,) = faces(service.post(face["aligned"], aligned=True))
    assert np.dot(face["embedding"], again["embedding"]) > 0.99
    assert again["box"] == [0, 0, 112, 112]


def test_embeddings_as_base64_are_the_same_numbers(service):
    (face,) = faces(service.post(ONE))
    (packed,) = faces(service.post(ONE, embedding_format="base64"))
    vector = np.frombuffer(base64.b64decode(packed["embedding"]), "<f4")
    assert np.abs(vector - face["embedding"]).max() < 1e-6


def test_no_face_is_a_result_and_many_come_largest_first(service):
    assert faces(service.post(blank())) == []
    found = faces(service.post(crowd(3), max_faces=20))
    assert len(found) == 6
    areas = [(f["box"][2] - f["box"][0]) * (f["box"][3] - f["box"][1]) for f in found]
    assert areas == sorted(areas, reverse=True)
    assert len(faces(service.post(crowd(3), max_faces=2))) == 2
    assert faces(service.post(crowd(3), min_size=400)) == []


def test_several_pictures_are_answered_in_order_and_a_bad_one_alone_fails(service):
    answer = service.post(ONE, "!", blank())
    assert answer["err_no"] == 0
    first, second, third = document(answer)["images"]
    assert len(first["faces"]) == 1
    assert second["error"]["code"] == ErrorKind.NOT_BASE64.code
    assert third["faces"] == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_in_the_upright_picture(service, orientation):
    (upright,) = faces(service.post(ONE))
    data = pictures.with_orientation(pictures.astronaut(), orientation)
    (face,) = faces(service.post(pictures.base64_of(data)))
    assert np.abs(np.subtract(face["box"], upright["box"])).max() < 3
    assert np.dot(face["embedding"], upright["embedding"]) > 0.98


@pytest.mark.parametrize("make", ["grey", "cmyk", "png16", "alpha", "webp", "bmp"])
def test_unusual_pictures_are_understood(service, make):
    pixels = pictures.astronaut()
    data = {
        "grey": lambda: pictures.encode(pixels.mean(axis=2).astype(np.uint8)),
        "cmyk": lambda: pictures.cmyk_jpeg(pixels),
        "png16": lambda: pictures.png16(pixels),
        "alpha": lambda: pictures.encode(
            np.dstack([pixels, np.full(pixels.shape[:2], 200, np.uint8)]), "PNG"
        ),
        "webp": lambda: pictures.encode(pixels, "WEBP"),
        "bmp": lambda: pictures.encode(pixels, "BMP"),
    }[make]()
    (expected,) = faces(service.post(ONE))
    (face,) = faces(service.post(pictures.base64_of(data)))
    assert np.dot(face["embedding"], expected["embedding"]) > 0.8


def test_a_picture_of_one_pixel_has_no_face(service):
    data = pictures.encode(np.zeros((1, 1, 3), np.uint8), "PNG")
    assert faces(service.post(pictures.base64_of(data))) == []


BAD_PICTURES = {
    "not base64": ("not/base64!", ErrorKind.NOT_BASE64),
    "empty": ("", ErrorKind.EMPTY_PICTURE),
    "one byte": (pictures.base64_of(b"x"), ErrorKind.UNSUPPORTED_FORMAT),
    "text": (pictures.base64_of(b"hello " * 100), ErrorKind.UNSUPPORTED_FORMAT),
    "gif": (
        pictures.base64_of(pictures.gif(pictures.astronaut())),
        ErrorKind.UNSUPPORTED_FORMAT,
    ),
    "truncated jpeg": (
        pictures.base64_of(pictures.encode(pictures.astronaut())[:20_000]),
        ErrorKind.BROKEN_PICTURE,
    ),
    "20,000 x 20,000 png": (
        pictures.base64_of(pictures.png_header_bomb(20_000, 20_000, 1_000_000)),
        ErrorKind.PICTURE_TOO_MANY_PIXELS,
    ),
    "too many bytes": (
        pictures.base64_of(bytes(17 * 1024 * 1024)),
        ErrorKind.PICTURE_TOO_MANY_BYTES,
    ),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_a_bad_picture_gets_its_code_and_the_service_goes_on(service, case):
    picture, kind = BAD_PICTURES[case]
    for answer in (service.post(picture), service.call(picture)):
        code = answer["err_no"] if isinstance(answer, dict) else answer.err_no
        message = answer["err_msg"] if isinstance(answer, dict) else answer.err_msg
        assert code == kind.code
        assert message.startswith(kind.name)
        assert "Traceback" not in message
    assert len(faces(service.post(ONE))) == 1


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"key": ["image", "colour"], "value": [ONE, "red"]}, ErrorKind.UNKNOWN_KEY),
        ({"key": ["image", "image"], "value": [ONE]}, ErrorKind.MALFORMED_REQUEST),
        ({"key": [], "value": []}, ErrorKind.MALFORMED_REQUEST),
        ({}, ErrorKind.MALFORMED_REQUEST),
        ({"key": ["image", "options"], "value": [ONE, "{"]}, ErrorKind.MALFORMED_OPTIONS),
        ({"key": ["image"] * 1000, "value": [blank(8, 8)] * 1000}, ErrorKind.TOO_MANY_PICTURES),
    ],
)
def test_a_malformed_request_gets_its_code_and_the_service_goes_on(service, content, kind):
    answer = httpx.post(service.url, json=content, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["err_no"] == kind.code
    assert len(faces(service.post(ONE))) == 1


def test_json_that_is_none_is_refused(service):
    answer = httpx.post(service.url, content=b"{not json", timeout=60)
    assert answer.status_code == 400
    assert answer.json()["err_no"] == ErrorKind.MALFORMED_REQUEST.code
    assert len(faces(service.post(ONE))) == 1


def test_another_service_name_is_refused(service):
    url = service.url.replace("/ArcFace/", "/Other/")
    answer = httpx.post(url, json={"key": ["image"], "value": [ONE]}, timeout=60)
    assert answer.status_code == 404
    assert answer.json()["err_no"] == ErrorKind.NO_SUCH_SERVICE.code


class Payload:
    """Unpickling one leaves a file behind."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_in_a_tensor_is_refused_and_does_not_run(service, tmp_path):
    proof = tmp_path / "ran"
    array = np.array([Payload(str(proof))], dtype=object)
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    request = pipeline_service_pb2.Request(key=["image"], value=[ONE])
    tensor = request.tensors.add()
    tensor.name, tensor.elem_type, tensor.byte_data = "image", 13, buffer.getvalue()
    answer = service.stub().inference(request, timeout=60)
    assert answer.err_no == ErrorKind.UNSUPPORTED_TENSOR.code
    assert not proof.exists()
    pickle.loads(pickle.dumps(Payload(str(proof)))).close()
    assert proof.exists(), "the payload itself works"
    assert len(faces(service.post(ONE))) == 1


def test_an_http_request_over_the_size_limit_is_refused_unread(service):
    with socket.create_connection(("127.0.0.1", service.http_port), timeout=10) as client:
        client.sendall(
            b"POST /ArcFace/prediction HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000000\r\n\r\n"
        )
        # The connection is closed after the answer.
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 413")
    assert str(ErrorKind.REQUEST_TOO_LARGE.code).encode() in answer
    assert len(faces(service.post(ONE))) == 1


def test_clients_that_stall_while_sending_hold_up_nobody(service):
    stalled = []
    for _ in range(200):
        client = socket.create_connection(("127.0.0.1", service.http_port), timeout=10)
        client.sendall(
            b"POST /ArcFace/prediction HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{"
        )
        stalled.append(client)
    assert len(faces(service.post(ONE))) == 1
    assert len(faces(service.call(ONE))) == 1
    for client in stalled:
        client.close()


def test_a_client_that_hangs_up_leaves_nothing_behind(service):
    content = json.dumps({"key": ["image"], "value": [crowd(4, 3)]}).encode()
    head = f"POST /ArcFace/prediction HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n"
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", service.http_port), timeout=10) as client:
            client.sendall(head.encode() + content)
    # All but a few are given up before they are worked on, or this would be told "busy".
    assert wait_until(lambda: httpx.post(service.url, content=content).status_code == 200, 30)
    assert len(faces(service.post(ONE))) == 1


def test_a_request_over_the_size_limit_is_refused(service):
    with pytest.raises(grpc.RpcError) as caught:
        service.call(*["A" * (9 * 1024 * 1024)] * 8)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(faces(service.post(ONE))) == 1


@pytest.mark.timeout(900)
def test_under_load_every_answer_is_the_one_that_the_picture_gets_alone(service):
    mixed = [ONE, crowd(2), crowd(4, 3), blank(), blank(1920, 1080), "!", pictures.base64_of(b"x")]
    alone = [service.post(picture) for picture in mixed]
    requests = [i % len(mixed) for i in range(2000)]
    random.Random(5).shuffle(requests)
    before = {p.pid for p in service.processes()}
    local = threading.local()

    def send(number: int) -> tuple[int, dict]:
        if not hasattr(local, "client"):
            local.client = httpx.Client(timeout=120)
        content = {"key": ["image"], "value": [mixed[number]]}
        response = local.client.post(service.url, json=content)
        assert response.status_code == 200, response.text
        return number, response.json()

    def run(numbers: list[int]) -> None:
        with ThreadPoolExecutor(16) as pool:
            for number, answer in pool.map(send, numbers):
                assert answer["err_no"] == alone[number]["err_no"]
                if answer["err_no"] == 0:
                    assert difference(faces(answer), faces(alone[number])) < 0.02

    run(requests[:400])
    memory = service.memory()
    run(requests[400:])
    assert service.memory() <= memory * 1.05
    assert {p.pid for p in service.processes()} == before


def test_more_requests_than_the_queue_takes_are_told_busy_and_the_rest_are_answered(make_service):
    def change(settings):
        settings["limits"]["queue_length"] = 4

    small = make_service(change)
    picture = crowd(4, 3)

    def send(_):
        content = {"key": ["image"], "value": [picture]}
        return httpx.post(small.url, json=content, timeout=120)

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(send, range(96)))
    codes = {answer.status_code for answer in answers}
    assert codes == {200, 429}
    busy = next(answer for answer in answers if answer.status_code == 429)
    assert str(ErrorKind.BUSY.code) in busy.text
    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert all(answer["err_no"] == 0 for answer in good)
    assert len(faces(small.post(ONE))) == 1


def test_a_request_past_its_time_is_told_so_and_the_service_goes_on(make_service):
    def change(settings):
        settings["limits"]["request_timeout_ms"] = 40

    hurried = make_service(change, ready=False)
    assert wait_until(lambda: _answered(hurried), 60)
    with pytest.raises(grpc.RpcError) as caught:
        hurried.call(*[crowd(8, 6)] * 8)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert str(ErrorKind.TIMEOUT.code) in caught.value.details()
    assert wait_until(lambda: _answered(hurried), 30)


def _answered(service: Service) -> bool:
    try:
        return service.call(blank(16, 16)).err_no == 0
    except grpc.RpcError:
        return False


def test_the_tracer_has_an_entry_for_every_stage(service):
    for _ in range(5):
        service.post(ONE, want=["embedding", "attributes", "liveness"])
    log = service.directory / "PipelineServingLogs" / "pipeline.tracer"
    names = ["Request", "Detection", "Landmark", "ArcFace", "Attributes", "Liveness", "Response"]
    expected = [f"Op({name})" for name in names] + ["QPS["]
    assert wait_until(lambda: all(e in log.read_text() for e in expected), 10)


def test_nothing_of_a_picture_is_logged(service):
    service.post(ONE, "!")
    text = "".join(service.output)
    for path in (service.directory / "PipelineServingLogs").iterdir():
        text += path.read_text()
    assert ONE[1000:1060] not in text
    assert json.dumps(faces(service.post(ONE))[0]["embedding"][:2])[1:-1] not in text


def test_the_service_is_one_process_and_its_parent(service):
    running = service.processes()
    assert len(running) == 2
    assert all(p.status() != psutil.STATUS_ZOMBIE for p in running)
