"""Clients that recognise pictures, a process of their own: ``python -m bench.attacks.clients``.

It reads one line with the fields of `Target` as JSON from standard input and sends until that is
closed. For each answer it writes a line with the fields of `Seen` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import grpc
import httpx

from bench.load.pictures import PictureSet, make_sets
from bench.load.rpc import CHANNEL_OPTIONS
from paddle_fence.messages import METHOD, pipeline_messages
from runtime.process import die_with_parent

TIMEOUT_S = 60.0
_AFTER_TROUBLE_S = 0.2  # a service that is gone is not to be asked as fast as possible


@dataclass(frozen=True)
class Target:
    """A service. url: of HTTP. address: HOST:PORT of gRPC. gateway: http://HOST:PORT of REST."""

    url: str
    address: str
    gateway: str


@dataclass(frozen=True)
class Seen:
    """A request. kind: HTTP, gRPC or REST. began: of time.monotonic, the same in all processes.

    took: seconds until the answer. problem: what came instead of the face, or empty.
    """

    kind: str
    began: float
    took: float
    problem: str


class _Client(Protocol):
    kind: str

    async def ask(self) -> str:
        """Have the picture recognised: what is wrong with the answer, or nothing."""


class _Http:
    kind = "HTTP"

    def __init__(self, target: Target, pictures: PictureSet) -> None:
        self._url, self._body = target.url, pictures.http_body()
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)

    async def ask(self) -> str:
        answer = await self._client.post(self._url, content=self._body)
        content = answer.json()
        return "" if not content["err_no"] else f"HTTP {answer.status_code}: {content['err_no']}"


class _Rest:
    kind = "REST"

    def __init__(self, target: Target, pictures: PictureSet) -> None:
        (image,) = pictures.pictures
        self._url = f"{target.gateway}/face-api/v3/face/detect"
        self._body = {"image": image, "image_type": "BASE64"}
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)

    async def ask(self) -> str:
        answer = await self._client.post(self._url, json=self._body)
        content = answer.json()
        return "" if not content["error_code"] else f"{content['error_code']}"


class _Rpc:
    kind = "gRPC"

    def __init__(self, target: Target, pictures: PictureSet) -> None:
        keys, values = pictures.key_values()
        messages = pipeline_messages()
        self._request = messages.Request(key=keys, value=values)
        self._channel = grpc.aio.insecure_channel(target.address, options=CHANNEL_OPTIONS)
        self._inference = self._channel.unary_unary(
            METHOD,
            request_serializer=messages.Request.SerializeToString,
            response_deserializer=messages.Response.FromString,
        )

    async def ask(self) -> str:
        answer = await self._inference(self._request, timeout=TIMEOUT_S)
        return "" if not answer.err_no else f"gRPC: {answer.err_no}"


_KINDS: tuple[Any, ...] = (_Http, _Rpc, _Rest)


async def _send(client: _Client) -> None:
    while True:
        began = time.monotonic()
        try:
            problem = await client.ask()
        except grpc.aio.AioRpcError as error:
            problem = f"{error.code().name}: {error.details()}"
        except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
            problem = type(error).__name__
        seen = Seen(client.kind, began, time.monotonic() - began, problem)
        print(json.dumps(asdict(seen)), flush=True)
        if problem:
            await asyncio.sleep(_AFTER_TROUBLE_S)


async def _run(target: Target, clients: int) -> None:
    (pictures,) = make_sets(["vga"])
    tasks = [
        asyncio.ensure_future(_send(_KINDS[number % len(_KINDS)](target, pictures)))
        for number in range(clients)
    ]
    end = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await asyncio.wait({end, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()  # a client ends only by a fault of its own
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    die_with_parent()
    first = json.loads(sys.stdin.readline())
    asyncio.run(_run(Target(**first["target"]), first["clients"]))
