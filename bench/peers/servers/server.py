"""One worker of a peer: a thin FastAPI service of pictures to faces, as one would write it.

``PYTHON -m bench.peers.servers.server MODULE FILES PORT`` serves until it is ended. MODULE has
`load`, which makes what finds the faces of a picture; FILES is a JSON object that it is given.

`POST /prediction` takes the service's own request, ``{"key": ["image"], "value": ["BASE64"]}``, and
answers with what the service puts into its result, for a picture. The workers of a peer share a
port, each with a socket of its own: of one that they had in common, whoever wakes first would take
all connections that came meanwhile. Pictures are worked on one after the other, on a thread beside
the loop, so that the next request is received meanwhile.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import orjson
import pybase64
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response

from runtime.process import die_with_parent


@dataclass(frozen=True)
class Found:
    """A face.

    box: (4,) x1 y1 x2 y2 in pixels. score: 0 to 1. landmarks: (5, 2) in pixels, left eye, right
    eye, nose, left and right mouth corner as seen. embedding: (D,) of any length.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray
    embedding: np.ndarray


# Faces of a picture (H, W, 3) uint8, BGR.
Find = Callable[[np.ndarray], Sequence[Found]]


def answer(body: bytes, find: Find) -> bytes:
    """What is answered to a request's body.

    Raises ValueError, KeyError or TypeError for a body that is none, ValueError for no picture.
    """
    request = orjson.loads(body)
    values = [v for k, v in zip(request["key"], request["value"]) if k == "image"]
    return orjson.dumps(
        {"images": [_described(text, find) for text in values]}, option=orjson.OPT_SERIALIZE_NUMPY
    )


def _described(text: str, find: Find) -> dict[str, Any]:
    file = np.frombuffer(pybase64.b64decode(text, validate=True), np.uint8)
    picture = cv2.imdecode(file, cv2.IMREAD_COLOR) if len(file) else None
    if picture is None:
        raise ValueError("not a picture")
    faces = [
        {
            "box": np.asarray(face.box, np.float32),
            "score": face.score,
            "landmarks": np.ascontiguousarray(face.landmarks, np.float32),
            "embedding": face.embedding / np.linalg.norm(face.embedding),
        }
        for face in find(picture)
    ]
    return {"width": picture.shape[1], "height": picture.shape[0], "faces": faces}


def application(load: Callable[[], Find]) -> FastAPI:
    """The service. load: called once, before anything is answered."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.find = load()
        with ThreadPoolExecutor(1) as thread:
            app.state.thread = thread
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/prediction")
    async def prediction(request: Request) -> Response:
        body, state = await request.body(), app.state
        loop = asyncio.get_running_loop()
        try:
            content = await loop.run_in_executor(state.thread, answer, body, state.find)
        except (ValueError, KeyError, TypeError) as error:
            raise HTTPException(400, str(error)) from None
        return Response(content, media_type="application/json")

    return app


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print("ready", flush=True)


def run(module: str, files: Mapping[str, Any], port: int) -> None:
    """Serve until the process is ended; a line on standard output says when it can."""
    die_with_parent()
    cv2.setNumThreads(1)
    load = importlib.import_module(module).load
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", port))
    app = application(lambda: load(files))
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    _Server(config).run([listening])


if __name__ == "__main__":
    run(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]))
