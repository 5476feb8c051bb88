"""The clients of the soak, in a process of their own: ``python -m bench.soak.clients``.

It reads one line with the fields of `Job` as JSON from standard input, sends until that is closed,
and writes a line with the fields of `Report` each `interval`. Half of the clients speak HTTP, half
gRPC. What is kept of a request is its latency, until the next report.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
import orjson

from bench.load.rpc import CHANNEL_OPTIONS
from bench.soak.kinds import Kind, Manner, Mix
from client.pipeline.wire import faces_in
from paddle_fence.messages import METHOD, pipeline_messages
from runtime.process import die_with_parent

TIMEOUT_S = 60.0
LEAVES_AFTER_S = 0.005  # a picture of the kind takes longer
STALLS_FOR_S = 1.0
_AFTER_TROUBLE_S = 0.2  # a service that is gone is not to be asked as fast as possible


@dataclass(frozen=True)
class Job:
    """clients: at a time. interval: seconds between two reports."""

    url: str
    address: str
    clients: int
    interval: float


@dataclass
class Report:
    """Of one interval. answered: good requests. refused: bad ones, as they have to be.

    left: requests whose client did not wait. unexpected: everything else, by what came instead.
    p50, p99: milliseconds of the answered ones, None where there were none.
    """

    seconds: float = 0.0
    answered: int = 0
    refused: int = 0
    left: int = 0
    unexpected: dict[str, int] = field(default_factory=dict)
    p50: float | None = None
    p99: float | None = None

    @property
    def requests(self) -> int:
        return self.answered + self.refused + self.left + self.errors

    @property
    def errors(self) -> int:
        return sum(self.unexpected.values())


class _SurpriseError(Exception):
    """An answer that is not the one that the request has to get; the text says what it was."""


class _Book:
    """What the clients note down."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._unexpected: Counter[str] = Counter()
        self._took: list[float] = []
        self._began = time.perf_counter()

    def done(self, kind: Kind, seconds: float) -> None:
        if kind.manner is not Manner.WAITS:
            self._counts["left"] += 1
        elif kind.error:
            self._counts["refused"] += 1
        else:
            self._counts["answered"] += 1
            self._took.append(seconds)

    def surprise(self, text: str) -> None:
        self._unexpected[text] += 1

    def report(self) -> Report:
        """What was noted since the last one."""
        now = time.perf_counter()
        report = Report(now - self._began, unexpected=dict(self._unexpected), **self._counts)
        if self._took:
            p50, p99 = np.percentile(self._took, [50, 99]) * 1e3
            report.p50, report.p99 = round(float(p50), 2), round(float(p99), 2)
        self._began = now
        self._counts.clear()
        self._unexpected.clear()
        self._took.clear()
        return report


class _Http:
    """A client with a connection that it keeps for as long as the service does."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, kind: Kind) -> None:
        """Raises _SurpriseError, OSError, asyncio.IncompleteReadError."""
        reader, writer = await self._connected()
        try:
            body = kind.body or b""
            path = kind.path or self._path
            head = f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-length: {len(body)}"
            if kind.manner in (Manner.HANGS_UP_EARLY, Manner.STALLS):
                body = body[: len(body) // 2]
            writer.write(f"{head}\r\n\r\n".encode() + body)
            await writer.drain()
            if kind.manner is not Manner.WAITS:
                stalls = kind.manner is Manner.STALLS
                await asyncio.sleep(STALLS_FOR_S if stalls else LEAVES_AFTER_S)
                await self.close()
                return
            status, closes, answer = await _read(reader)
        except BaseException:
            await self.close()
            raise
        if closes:
            await self.close()
        _check(kind, answer, status)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            await self.close()  # the service closes connections that were idle for long
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        return self._streams

    async def close(self) -> None:
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> tuple[int, bool, Any]:
    """Status, whether the service closes the connection, and the JSON of an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    status = int(head[0].split(" ")[1])
    return status, headers.get("connection") == "close", orjson.loads(body)


class _Rpc:
    """A client with a channel of its own, made anew after it has left."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel: Any = None

    async def send(self, kind: Kind) -> None:
        """Raises _SurpriseError."""
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._address, options=CHANNEL_OPTIONS)
        call = self._channel.unary_unary(METHOD)(kind.message, timeout=TIMEOUT_S)
        if kind.manner is not Manner.WAITS:
            await asyncio.sleep(LEAVES_AFTER_S)
            call.cancel()
            await self.close()
            return
        try:
            data = await call
        except grpc.aio.AioRpcError as error:
            raise _SurpriseError(f"gRPC {error.code().name}") from None
        answer = pipeline_messages().Response.FromString(data)
        _check(kind, {"err_no": answer.err_no, "value": list(answer.value)}, kind.status)

    async def close(self) -> None:
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()


def _check(kind: Kind, answer: Any, status: int) -> None:
    if status != kind.status:
        raise _SurpriseError(f"{kind.name}: HTTP {status}")
    error = answer.get("err_no", 0)
    if error != kind.error:
        raise _SurpriseError(f"{kind.name}: error {error}")
    if not kind.error:
        faces = faces_in(answer["value"][0])
        if faces != kind.faces:
            raise _SurpriseError(f"{kind.name}: {faces} faces")


async def _client(client: _Http | _Rpc, kinds: Iterator[Kind], book: _Book) -> None:
    for kind in kinds:
        began = time.perf_counter()
        try:
            await asyncio.wait_for(client.send(kind), TIMEOUT_S)
        except _SurpriseError as surprise:
            book.surprise(str(surprise))
            await asyncio.sleep(_AFTER_TROUBLE_S)
        except (TimeoutError, OSError, EOFError, ValueError) as error:
            book.surprise(f"{kind.name}: {type(error).__name__}")
            await client.close()
            await asyncio.sleep(_AFTER_TROUBLE_S)
        else:
            book.done(kind, time.perf_counter() - began)


async def _closed(stream: Any) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), stream)
    while await reader.read(4096):
        pass


async def _run(job: Job) -> None:
    book, mix = _Book(), Mix()
    clients: list[_Http | _Rpc] = [
        _Rpc(job.address) if number % 2 else _Http(job.url) for number in range(job.clients)
    ]
    tasks = [
        asyncio.ensure_future(_client(one, mix.schedule(n, isinstance(one, _Http)), book))
        for n, one in enumerate(clients)
    ]
    end = asyncio.ensure_future(_closed(sys.stdin))
    while not end.done():
        await asyncio.wait({end, *tasks}, timeout=job.interval, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()  # a client ends only by a fault of its own
        print(json.dumps(asdict(book.report())), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for client in clients:
        await client.close()


if __name__ == "__main__":
    die_with_parent()
    asyncio.run(_run(Job(**json.loads(sys.stdin.readline()))))
