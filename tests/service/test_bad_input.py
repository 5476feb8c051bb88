"""The running service and everything that should not be sent to it."""

from __future__ import annotations

import io
import json
import pickle
import socket

import grpc
import httpx
import numpy as np
import pytest

from ops.errors import ErrorKind
from tests.support import pictures
from tests.support.pictures import ONE, blank, crowd
from tests.support.service import MESSAGES, faces, wait_until

POST = b"POST /ArcFace/prediction HTTP/1.1\r\nhost: 127.0.0.1\r\n"
BAD_PICTURES = {
    "not base64": ("not/base64!", ErrorKind.NOT_BASE64),
    "empty": ("", ErrorKind.EMPTY_PICTURE),
    "one byte": (pictures.base64_of(b"x"), ErrorKind.UNSUPPORTED_FORMAT),
    "text": (pictures.base64_of(b"hello " * 100), ErrorKind.UNSUPPORTED_FORMAT),
    "pdf": (pictures.base64_of(b"%PDF-1.7\n" * 100), ErrorKind.UNSUPPORTED_FORMAT),
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
    request = MESSAGES.Request(key=["image"], value=[ONE])
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
        client.sendall(POST + b"content-length: 1000000000000\r\n\r\n")
        # The connection is closed after the answer.
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 413")
    assert str(ErrorKind.REQUEST_TOO_LARGE.code).encode() in answer
    assert len(faces(service.post(ONE))) == 1


def test_clients_that_stall_while_sending_hold_up_nobody(service):
    stalled = []
    for _ in range(200):
        client = socket.create_connection(("127.0.0.1", service.http_port), timeout=10)
        client.sendall(POST + b"content-length: 100000\r\n\r\n{")
        stalled.append(client)
    assert len(faces(service.post(ONE))) == 1
    assert len(faces(service.call(ONE))) == 1
    for client in stalled:
        client.close()


def test_a_client_that_hangs_up_leaves_nothing_behind(service):
    content = json.dumps({"key": ["image"], "value": [crowd(4, 3)]}).encode()
    head = POST + b"content-length: %d\r\n\r\n" % len(content)
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", service.http_port), timeout=10) as client:
            client.sendall(head + content)
    # All but a few are given up before they are worked on, or this would be told "busy".
    assert wait_until(
        lambda: httpx.post(service.url, content=content, timeout=60).status_code == 200, 30
    )
    assert len(faces(service.post(ONE))) == 1


def test_a_request_over_the_size_limit_is_refused(service):
    with pytest.raises(grpc.RpcError) as caught:
        service.call(*["A" * (9 * 1024 * 1024)] * 8)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(faces(service.post(ONE))) == 1
