"""A real service on free ports, for tests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import psutil
import yaml

from paddle_fence.messages import pipeline_messages
from paddle_fence.pipeline import PipelineServiceStub
from runtime.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
START_S = 120
MESSAGES = pipeline_messages()


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def wait_until(condition: Callable[[], Any], seconds: float) -> bool:
    """Whether `condition` became true within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def warm_quickly(settings: dict[str, Any]) -> None:
    """Leave each stage one thread and one sample at a time: fewer kernels are made at the start."""
    for stage in settings["op"].values():
        stage["concurrency"] = 1
        if "batch_size" in stage:
            stage["batch_size"] = 1


class Service:
    """``python web_service.py`` with a configuration of its own below `directory`.

    change: called with the settings of the repository's config.yml, to change them.
    gateway: whether the REST gateway is started, too. role: as of its option.
    whole: with the threads and batches of config.yml. Otherwise each stage has one thread and takes
    pictures one by one, which is warm in half of the time.
    program: what Python is given to start it.
    """

    program: tuple[str, ...] = (str(ROOT / "web_service.py"),)

    def __init__(
        self,
        directory: Path,
        change: Callable[[dict[str, Any]], None] | None = None,
        gateway: bool = False,
        role: str = "all",
        whole: bool = False,
    ) -> None:
        self.role = role
        settings = yaml.safe_load((ROOT / "config.yml").read_text())
        self.rpc_port, self.http_port = free_ports()
        self.gateway_port, _ = free_ports() if gateway else (0, 0)
        settings["gateway"]["port"] = self.gateway_port
        settings.update(rpc_port=self.rpc_port, http_port=self.http_port)
        settings["models_dir"] = str(ROOT / "models")
        settings["log"]["dir"] = str(directory)
        settings["dag"]["tracer"]["interval_s"] = 1
        if not whole:
            warm_quickly(settings)
        if change:
            change(settings)
        self.directory = directory
        self.config = directory / "config.yml"
        self.config.write_text(yaml.safe_dump(settings))
        self.output: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self._client = httpx.Client(timeout=300)

    def start(self, ready: bool = True) -> Service:
        """Start it; with `ready`, wait until it says so."""
        self.process = subprocess.Popen(
            [sys.executable, *self.program, "--config", str(self.config), "--role", self.role],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        threading.Thread(target=self._read, daemon=True).start()
        if ready and not wait_until(self._is_ready_or_dead, START_S):
            self.kill()
            raise RuntimeError("the service was not ready in time")
        if ready and self.process.poll() is not None:
            raise RuntimeError("the service did not start:\n" + "".join(self.output))
        return self

    def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)

    def _is_ready_or_dead(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None or any(s.startswith("ready") for s in self.output)

    def wait(self, seconds: float = START_S) -> int:
        """Its exit status, once it has ended by itself."""
        assert self.process is not None
        status = self.process.wait(seconds)
        time.sleep(0.1)
        return status

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.wait(60)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def processes(self) -> list[psutil.Process]:
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def pipeline(self) -> psutil.Process:
        return next(p for p in self.processes() if "ops.serving" in " ".join(p.cmdline()))

    def memory(self) -> int:
        """Bytes that the pipeline process alone holds (USS)."""
        return int(self.pipeline().memory_full_info().uss)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/ArcFace/prediction"

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    def post(self, *images: str, **options: Any) -> dict[str, Any]:
        """The HTTP answer to pictures in base64."""
        response = self._client.post(self.url, json=body(images, options))
        assert response.status_code == 200, response.text
        return dict(response.json())

    def stub(self) -> PipelineServiceStub:
        limits = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(f"127.0.0.1:{self.rpc_port}", options=limits)
        return PipelineServiceStub(channel)

    def call(self, *images: str, **options: Any) -> Any:
        """The gRPC answer to pictures in base64."""
        content = body(images, options)
        request = MESSAGES.Request(key=content["key"], value=content["value"])
        return self.stub().inference(request, timeout=60)


def body(images: tuple[str, ...], options: dict[str, Any]) -> dict[str, list[str]]:
    keys, values = ["image"] * len(images), list(images)
    if options:
        keys, values = [*keys, "options"], [*values, json.dumps(options)]
    return {"key": keys, "value": values}


def document(answer: Any) -> dict[str, Any]:
    """The result of an HTTP answer or a gRPC response."""
    values = answer["value"] if isinstance(answer, dict) else answer.value
    return dict(json.loads(values[0]))


def faces(answer: Any, picture: int = 0) -> list[dict[str, Any]]:
    return list(document(answer)["images"][picture]["faces"])


def difference(a: list[dict], b: list[dict]) -> float:
    """0 for the same faces; boxes count in pixels, embeddings as 100 x (1 - cosine)."""
    if len(a) != len(b):
        return float("inf")
    worst = 0.0
    for left, right in zip(a, b):
        worst = max(worst, np.abs(np.subtract(left["box"], right["box"])).max())
        worst = max(worst, np.abs(np.subtract(left["landmarks"], right["landmarks"])).max())
        # Float32 has unit length to seven digits only.
        cosine = round(float(np.dot(left["embedding"], right["embedding"])), 6)
        worst = max(worst, 100 * (1 - cosine))
    return float(worst)
