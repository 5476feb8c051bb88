"""Others' private names, and what is not documented: where another version has it otherwise.

The linter (SLF001) finds private names of objects; here is what it cannot see, and a small example
of each thing that is relied on. Of Paddle Serving and faiss: `test_paddle_internals.py` beside
this, and `tests/library/index/test_faiss_internals.py`.
"""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
from pathlib import Path

import grpc
import grpc._cython.cygrpc
import httptools
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tests.support.private_names import Inherited, own_names
from web import server

ROOT = Path(__file__).resolve().parents[2]
_OURS = ("bench", "client", "convert", "gateway", "inference", "library", "ops", "paddle_fence")
_OURS += ("runtime", "settings", "terminal", "tracer", "vision", "web")
FILES = sorted(file for room in _OURS for file in ROOT.glob(f"{room}/**/*.py"))


def test_no_class_uses_a_private_name_of_a_parent_that_is_not_ours():
    assert len(FILES) > 300
    assert Inherited(FILES).found() == set()


def test_nothing_private_is_imported_from_others():
    found = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{one.name}" for one in node.names]
            for name in names:
                parts = name.split(".")
                if parts[0] not in (*_OURS, "__future__") and any(p.startswith("_") for p in parts):
                    found.add((file.relative_to(ROOT), name))
    assert found == set()


# gRPC ---------------------------------------------------------------------------------------------


def test_grpc_knows_every_setting_that_it_is_given():
    """It ignores others without a word."""
    given = set()
    for file in FILES:
        given |= set(re.findall(r'\("(grpc\.[a-z0-9_.]+)", ', file.read_text(encoding="utf-8")))
    assert len(given) > 20
    core = Path(grpc._cython.cygrpc.__file__).read_bytes()
    assert [name for name in sorted(given) if name.encode() + b"\0" not in core] == []


def test_what_an_aborted_call_raises_is_what_its_handler_looks_for():
    for name in ("AbortError", "InternalError", "UsageError"):
        assert issubclass(getattr(grpc.aio, name), Exception)
    assert grpc.aio.EOF is not None


# uvicorn and httptools ----------------------------------------------------------------------------


class Pipe(asyncio.Transport):
    """Keeps what is written; open until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data):
        self.written += bytes(data)

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        """What comes is not held back."""

    def resume_reading(self):
        """What comes is not held back."""


async def _echo(scope, receive, send):
    message = await receive()
    start = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": scope["raw_path"] + message["body"]})


def exchange(kind, *pieces):
    """A connection of a kind after these pieces and their answers, and its pipe."""

    async def run():
        config = uvicorn.Config(_echo, ws="none", lifespan="off", log_config=None)
        config.load()
        connection = kind(config=config, server_state=ServerState(), app_state={})
        pipe = Pipe()
        connection.connection_made(pipe)
        for piece in pieces:
            connection.data_received(piece)
            while connection.tasks:
                await asyncio.gather(*connection.tasks)
        return connection, pipe

    return asyncio.run(run())


class Told(HttpToolsProtocol):
    """Notes in which order the parser tells what of a request."""

    def __init__(self, *arguments, **named):
        self.told = []
        super().__init__(*arguments, **named)

    def on_message_begin(self):
        assert self.cycle is None
        self.told.append("begin")
        super().on_message_begin()

    def on_url(self, url):
        self.told.append("url")
        super().on_url(url)

    def on_header(self, name, value):
        self.told.append(name.decode())
        super().on_header(name, value)

    def on_headers_complete(self):
        self.told.append("headers")
        assert (self.parser.get_http_version(), self.parser.get_method()) == ("1.1", b"POST")
        super().on_headers_complete()
        assert isinstance(self.cycle, RequestResponseCycle)
        assert (self.cycle.more_body, self.cycle.response_complete) == (True, False)

    def on_body(self, body):
        self.told.append(bytes(body))
        super().on_body(body)

    def on_message_complete(self):
        self.told.append("complete")
        super().on_message_complete()
        assert not self.cycle.more_body

    def on_response_complete(self):
        self.told.append("answered")
        super().on_response_complete()


def test_a_connection_tells_of_a_request_step_by_step():
    head = b"POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
    connection, pipe = exchange(Told, head + b"body")
    steps = ["begin", "url", "Host", "Content-Length", "headers", b"body", "complete", "answered"]
    assert connection.told == steps
    assert connection.url == b"/here"
    assert connection.headers == [(b"host", b"a"), (b"content-length", b"4")]
    assert not connection.expect_100_continue
    assert connection.cycle.response_complete
    assert connection in connection.connections
    assert len(connection.pipeline) == 0
    assert connection.transport is pipe
    assert isinstance(connection.loop, asyncio.AbstractEventLoop)
    assert pipe.written.endswith(b"/herebody\r\n0\r\n\r\n")


def test_a_request_behind_another_waits_in_the_pipeline_with_its_cycle():
    async def run():
        config = uvicorn.Config(_echo, ws="none", lifespan="off", log_config=None)
        connection = HttpToolsProtocol(config, ServerState(), {})
        connection.connection_made(Pipe())
        connection.data_received(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
        ((newest, _),) = connection.pipeline
        assert newest is connection.cycle
        assert newest.scope["path"] == "/b"
        while connection.tasks:
            await asyncio.gather(*connection.tasks)
        assert not connection.pipeline

    asyncio.run(run())


def test_a_wish_for_another_protocol_ends_the_parser_behind_the_headers():
    class Handler:
        def on_message_complete(self):
            seen.append((parser.should_upgrade(), parser.get_method()))

    seen = []
    parser = httptools.HttpRequestParser(Handler())
    head = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as upgrade:
        parser.feed_data(memoryview(head + b"rest"))
    assert upgrade.value.args[0] == len(head)
    assert seen == [(True, b"GET")]
    parser.set_dangerous_leniencies(lenient_data_after_close=True)


def test_our_connection_goes_on_where_uvicorns_parser_ends():
    head = b"POST /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\n"
    _, pipe = exchange(server._Protocol, head + b"body")
    assert pipe.written.startswith(b"HTTP/1.1 200 ")
    assert b"/abody" in pipe.written


@pytest.mark.parametrize(
    ("ours", "theirs", "meant"),
    [
        (
            server._Protocol,
            HttpToolsProtocol,
            {"__init__", "cycle", "parser", "expect_100_continue", "shutdown"}
            | {"connection_made", "data_received", "on_message_begin", "on_header"}
            | {"on_headers_complete", "on_message_complete", "on_body", "on_response_complete"},
        ),
        (server._Parser, httptools.HttpRequestParser, {"__init__", "feed_data"}),
        (server.HttpServer, uvicorn.Server, {"__init__", "capture_signals"}),
    ],
)
def test_our_classes_replace_nothing_of_uvicorns_but_what_they_mean_to(ours, theirs, meant):
    names = set(dir(theirs)) - set(dir(object))
    if theirs is not httptools.HttpRequestParser:  # which is not written in Python
        names |= own_names(theirs)
    assert own_names(ours) & names <= meant
    # What is replaced is there to be replaced.
    assert meant - {"__init__"} <= names


def test_a_server_handles_signals_where_we_leave_them_alone():
    sent = []

    class Ours(server.HttpServer):
        async def _serve(self, sockets=None):
            sent.append("served")

    asyncio.run(Ours(_echo, 1000).serve())
    assert sent == ["served"]
    with server.HttpServer(_echo, 1000).capture_signals() as nothing:
        assert nothing is None


# Milvus -------------------------------------------------------------------------------------------


def test_the_server_of_milvus_lite_has_its_process(tmp_path, monkeypatch):
    milvus_lite = pytest.importorskip("milvus_lite.server")
    program = tmp_path / "milvus"
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("BIN_PATH", str(tmp_path))
    lite = milvus_lite.Server(str(tmp_path / "a.db"))
    assert lite._p is None
    assert lite.uds_path.startswith("unix:")
    assert lite.init()
    assert lite.start()
    process = lite._p
    try:
        assert isinstance(process, subprocess.Popen)
        assert process.poll() is None
        lite.stop()
        assert lite._p is None
        # Stopping does not end it, which is why we do.
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait()


def test_pymilvus_repeats_a_call_for_its_time_if_that_is_an_int_else_so_many_times():
    pytest.importorskip("pymilvus")
    from pymilvus import MilvusException
    from pymilvus.decorators import retry_on_rpc_failure

    class AwayError(grpc.RpcError):
        def code(self):
            return grpc.StatusCode.UNAVAILABLE

        def details(self):
            return "away"

    calls = []

    @retry_on_rpc_failure(initial_back_off=0.001, max_back_off=0.001)
    def call(handler, timeout, retry_times):
        calls.append(timeout)
        raise AwayError

    with pytest.raises(MilvusException) as raised:
        call(None, timeout=10.0, retry_times=4)
    assert len(calls) == 5
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    calls.clear()
    with pytest.raises(MilvusException):
        call(None, timeout=0, retry_times=4)
    assert len(calls) == 1


# Paddle and Python --------------------------------------------------------------------------------


def test_operators_of_a_paddle_program_are_changed_and_taken_out():
    paddle = pytest.importorskip("paddle")
    from convert.network.program import static_mode
    from convert.paddle_internals import remove_attribute, remove_operator, set_attribute

    with static_mode():
        program = paddle.static.Program()
        with paddle.static.program_guard(program, paddle.static.Program()):
            data = paddle.static.data("data", [1, 6], "float32")
            paddle.reshape(paddle.scale(data, 2.0), [1, 3, 2])
        block = program.global_block()
        scale, reshape = block.ops
        set_attribute(reshape, "shape", [0, 3, 2])
        assert list(reshape.attr("shape")) == [0, 3, 2]
        assert "op_callstack" in scale.attr_names
        remove_attribute(scale, "op_callstack")
        assert "op_callstack" not in scale.attr_names
        remove_operator(block, 0)
        assert [op.type for op in block.ops] == ["reshape2"]
        written = paddle.static.Program.parse_from_string(program.desc.serialize_to_string())
        assert [op.type for op in written.global_block().ops] == ["reshape2"]
