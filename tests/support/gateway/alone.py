"""A gateway in a process of its own, which starts quickly: without a pipeline, or a service's."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import yaml

from runtime.heartbeat import READY
from runtime.ports import free_ports
from tests.support.service import ROOT, Service, wait_until

START_S = 60


class LoneGateway:
    """``python -m gateway.server`` with a configuration of its own below `directory`.

    service: whose pipeline is asked; without one groups can be made, and faces not. environment:
    beside this process's own. library, gateway: settings that differ.
    """

    def __init__(
        self,
        directory: Path,
        service: Service | None = None,
        environment: dict[str, str] | None = None,
        library: dict[str, Any] | None = None,
        **gateway: Any,
    ) -> None:
        self.directory = directory
        self.port, nowhere = free_ports()
        base = service.config if service else ROOT / "config.yml"
        settings = yaml.safe_load(base.read_text())
        settings["models_dir"] = str(ROOT / "models")
        settings["log"]["dir"] = str(directory)
        pipeline = service.rpc_port if service else nowhere
        settings["gateway"].update(
            {"port": self.port, "pipelines": [f"127.0.0.1:{pipeline}"], **gateway}
        )
        settings["library"].update(library or {})
        self.config = directory / "config.yml"
        self.config.write_text(yaml.safe_dump(settings))
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        self._client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    @property
    def logs(self) -> Path:
        """Where its logs are."""
        return self.directory / "PipelineServingLogs"

    def start(self) -> LoneGateway:
        """Start it, and wait until it says that it serves."""
        reading, writing = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway.server", str(self.config)],
            cwd=self.directory,
            env={**self._environment, READY: str(writing)},
            pass_fds=[writing],
        )
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read(1), "the gateway did not start"
        return self

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(START_S)

    def code(self, path: str, **parameters: Any) -> int:
        """The error's number of a request, 0 for success."""
        answer = self._client.post(f"/face-api/v3/{path}", json={"appid": "alone", **parameters})
        return int(answer.json()["error_code"])

    def health(self) -> httpx.Response:
        """GET /health."""
        return self._client.get("/health")

    def becomes(self, code: int, path: str, **parameters: Any) -> bool:
        """Whether a request is answered with this number within a time that is long enough."""
        return wait_until(lambda: self.code(path, **parameters) == code, START_S)


def lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a log of JSON, none where there is no file; a half one fails."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def raw_request(port: int, head: bytes, body: bytes = b"", address: str = "127.0.0.1") -> bytes:
    """The answer to a request as it is, which no client's library would send.

    head: its lines without Content-Length and the empty line. address: that it comes from.
    """
    with socket.create_connection(("127.0.0.1", port), 60, (address, 0)) as connection:
        length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        connection.sendall(head + length + body)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer
