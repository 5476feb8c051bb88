"""Two small servers that speak the service's wire format and answer what a test tells them."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import grpc
import numpy as np

from client.cli.scripts import Client
from client.pipeline.http import HttpTransport
from client.pipeline.rpc import RpcTransport
from paddle_fence.messages import METHOD, pipeline_messages

CLIENTS = {
    "http": Client("http_client", "HTTP", "--url", "http://127.0.0.1:1/x", HttpTransport),
    "rpc": Client("rpc_client", "gRPC", "--address", "127.0.0.1:1", RpcTransport),
}

LANDMARKS = [[210.0, 115.0], [246.0, 114.0], [228.0, 137.0], [212.0, 158.0], [245.0, 157.0]]
FACE = {
    "box": [170.5, 60.25, 285.0, 195.0],
    "score": 0.93,
    "landmarks": LANDMARKS,
    "embedding": [0.6, -0.8, 0.0, 0.0],
}
MODELS = {"Detection": "blazeface", "ArcFace": "mobilefacenet_128"}


@dataclass
class Reply:
    """The fields of a response."""

    value: list[str]
    key: list[str] = field(default_factory=lambda: ["result"])
    err_no: int = 0
    err_msg: str = ""


@dataclass
class Status:
    """A refusal by gRPC status; over HTTP what Paddle Serving's gateway makes of it."""

    grpc: grpc.StatusCode
    http: int
    details: str


Answer = Reply | Status
BUSY = Status(grpc.StatusCode.RESOURCE_EXHAUSTED, 429, "3003 BUSY: The queue is full.")


def result(*faces: dict[str, Any], width: int = 512, height: int = 512) -> Reply:
    """The reply to one picture."""
    image = {"width": width, "height": height, "faces": list(faces)}
    return Reply([json.dumps({"images": [image], "models": MODELS})])


def picture_error(code: int, message: str) -> Reply:
    """The reply to a picture that the service cannot use."""
    image = {"error": {"code": code, "message": message}}
    return Reply([json.dumps({"images": [image], "models": MODELS})])


class FakeService:
    """What both servers share. answer: called with the request's picture (bytes) and options."""

    def __init__(self) -> None:
        self.answer: Callable[[bytes, dict[str, Any]], Answer] = lambda _p, _o: result(FACE)
        self.pictures: list[bytes] = []
        self.options: list[dict[str, Any]] = []
        self.log_ids: list[int] = []
        self.busy = self.most_busy = 0
        self._lock = threading.Lock()

    def handle(self, keys: list[str], values: list[str]) -> Answer:
        """Takes one request apart and has it answered."""
        fields = dict(zip(keys, values))
        picture = base64.b64decode(fields.pop("image"), validate=True)
        options = json.loads(fields.pop("options", "{}"))
        with self._lock:
            self.pictures.append(picture)
            self.options.append(options)
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
        try:
            return self.answer(picture, options)
        finally:
            with self._lock:
                self.busy -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def do_POST(self) -> None:
        if self.server.service.stopped:  # connections outlive their listener
            self.close_connection = True
            return None
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = self.server.service.handle(body["key"], body["value"])
        if isinstance(reply, Status):
            error = {"error": reply.details, "code": reply.grpc.value[0], "message": reply.details}
            return self._send(reply.http, json.dumps(error).encode())
        raw = self.server.service.raw
        text = json.dumps({**vars(reply), "tensors": []}).encode() if raw is None else raw
        return self._send(200, text)

    def _send(self, status: int, body: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # a client that has given up
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Nothing: the tests' output is theirs."""


class FakeHttp(FakeService):
    """The HTTP gateway. raw: bytes that replace the answer's body."""

    def __init__(self) -> None:
        super().__init__()
        self.raw: bytes | None = None
        self.stopped = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.service = self  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        port = self._server.server_address[1]
        self.address = f"http://127.0.0.1:{port}/ArcFace/prediction"

    def stop(self) -> None:
        """Ends the server and closes its port."""
        self.stopped = True
        self._server.shutdown()
        self._server.server_close()


class FakeRpc(FakeService):
    """The gRPC server of the pipeline."""

    def __init__(self) -> None:
        super().__init__()
        messages = pipeline_messages()
        handler = grpc.unary_unary_rpc_method_handler(
            self._inference,
            request_deserializer=messages.Request.FromString,
            response_serializer=messages.Response.SerializeToString,
        )
        service, method = METHOD.strip("/").split("/")
        self._response = messages.Response
        self._server = grpc.server(futures.ThreadPoolExecutor(32))
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _inference(self, request: Any, context: Any) -> Any:
        self.log_ids.append(request.logid)
        reply = self.handle(list(request.key), list(request.value))
        if isinstance(reply, Status):
            context.abort(reply.grpc, reply.details)
        return self._response(**vars(reply))

    def stop(self) -> None:
        """Ends the server and closes its port."""
        self._server.stop(None).wait()


def slowly(seconds: float) -> Callable[[bytes, dict[str, Any]], Answer]:
    """An answer that takes its time."""

    def answer(_picture: bytes, _options: dict[str, Any]) -> Answer:
        time.sleep(seconds)
        return result(FACE)

    return answer


def encoded(width: int, height: int, suffix: str = ".png", value: int = 90) -> bytes:
    """The file of a grey picture."""
    return cv2.imencode(suffix, np.full((height, width, 3), value, np.uint8))[1].tobytes()
