"""One parent for all processes of the service: started together, ended together."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Callable, Optional

from ops.config import Config, ConfigError

LOG_DIR = "PipelineServingLogs"  # the name that Paddle Serving gives it
ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 300.0
_POLL_S = 0.1
_FLUSH_S = 0.3  # for the gateway to write out the last answers
# A white pixel as PNG: the request by which the service shows that it answers.
_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)


class StartError(RuntimeError):
    """The service could not be started or go on; the text says why.

    status: of the child that ended, 2 where it has said itself what is wrong with the
    configuration.
    """

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class Supervisor:
    """Runs the pipeline and its HTTP gateway as child processes.

    When one ends the others are ended too; children die with this process even when it is
    killed with SIGKILL.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stop = threading.Event()
        self._signals = 0

    def run(self) -> int:
        """Serve until a signal or the death of a child; the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        check_port(self._config, "rpc_port", self._config.rpc_port)
        if self._config.http_port:
            check_port(self._config, "http_port", self._config.http_port)
        try:
            self._start()
            return self._watch()
        except StartError as error:
            if self._stop.is_set():
                return 0
            if error.status == 2:
                return 2
            print(f"web_service: {error}", file=sys.stderr, flush=True)
            return 1
        finally:
            self._end()

    def _on_signal(self, *_: object) -> None:
        self._signals += 1
        self._stop.set()
        if self._signals > 1:
            for child in self._children.values():
                child.kill()

    def _start(self) -> None:
        config = self._config
        self._spawn("pipeline", "ops.server", str(config.path))
        host = "127.0.0.1" if config.rpc_host in ("0.0.0.0", "::", "[::]") else config.rpc_host  # noqa: S104
        self._until(lambda: _accepts(host, config.rpc_port))
        addresses = [f"gRPC {host}:{config.rpc_port}"]
        if config.http_port:
            arguments = [str(config.rpc_port), str(config.http_port)]
            log = config.log_dir() / LOG_DIR / "http_gateway.log"
            with log.open("wb") as output:
                self._spawn("HTTP gateway", "ops.http_gateway", *arguments, output=output)
            self._until(lambda: _answers(config))
            addresses.insert(
                0, f"HTTP http://127.0.0.1:{config.http_port}/{config.name}/prediction"
            )
        print(f"ready: {', '.join(addresses)}", flush=True)

    def _spawn(
        self, title: str, module: str, *arguments: str, output: Optional[IO[bytes]] = None
    ) -> None:
        environment = {**os.environ, "FACE_SERVICE_PARENT": str(os.getpid())}
        # glibc gives threads heaps of their own, which together hold on to much freed memory.
        environment.setdefault("MALLOC_ARENA_MAX", "2")
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        self._children[title] = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            # A Ctrl-C in the terminal must reach only this process, which ends the others
            # in the right order.
            start_new_session=True,
        )

    def _until(self, ready: Callable[[], bool]) -> None:
        give_up = time.monotonic() + START_TIMEOUT_S
        while not ready():
            self._check_children("before it was ready")
            if self._stop.wait(_POLL_S):
                raise StartError("stopped while starting")
            if time.monotonic() > give_up:
                raise StartError(f"the service was not ready within {START_TIMEOUT_S:.0f} s")
        self._check_children("before it was ready")

    def _check_children(self, when: str) -> None:
        for title, child in self._children.items():
            status = child.poll()
            if status is not None:
                raise StartError(f"the {title} ended with status {status} {when}", status)

    def _watch(self) -> int:
        while not self._stop.wait(_POLL_S):
            self._check_children("while serving; the service is stopped")
        return 0

    def _end(self) -> None:
        """The pipeline first, so that requests under way still reach their clients."""
        pipeline = self._children.get("pipeline")
        grace = self._config.limits.request_timeout_ms / 1000.0 + 5.0
        _end_process(pipeline, grace)
        gateway = self._children.get("HTTP gateway")
        if gateway is not None:
            time.sleep(_FLUSH_S)
            _end_process(gateway, 2.0)


def check_port(config: Config, key: str, port: int) -> None:
    """Raise ConfigError if something listens on the port already, or it may not be used."""
    host = config.rpc_host if key == "rpc_port" else "0.0.0.0"  # noqa: S104
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"{config.path}: {key}: cannot listen on {host}:{port}: {error.strerror}"
            ) from None


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _answers(config: Config) -> bool:
    """Whether a picture sent over HTTP is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", config.http_port, timeout=30.0)
    try:
        body = json.dumps({"key": ["image"], "value": [_PIXEL]})
        connection.request("POST", f"/{config.name}/prediction", body)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        return answer.status == 200 and content.get("err_no", 0) == 0
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end_process(process: Optional[subprocess.Popen[bytes]], grace: float) -> None:
    if process is None:
        return
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
