"""One parent for all processes of the service: started together, ended together."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from ops.config import Config, ConfigError
from ops.probe import PIXEL

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 300.0
_POLL_S = 0.1
# A child that has died so often within so many seconds is not started again.
_DEATHS, _DEATHS_S = 5, 60.0
_GATEWAY = "gateway"


class StartError(RuntimeError):
    """The service could not be started or go on; the text says why.

    status: of the child that ended, 2 where it has said itself what is wrong with the
    configuration.
    """

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Program:
    """A child: what it is called in messages, its module and arguments."""

    title: str
    module: str
    arguments: tuple[str, ...]


class Supervisor:
    """Runs the pipeline's replicas and the REST gateway as child processes.

    One that dies while serving is started again, and the others go on meanwhile; when it keeps
    dying all are ended. Children die with this process even when it is killed with SIGKILL.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._programs = {program.title: program for program in programs(config)}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._ready: dict[str, int] = {}
        self._deaths: dict[str, deque[float]] = {}
        self._stop = threading.Event()
        self._signals = 0

    def run(self) -> int:
        """Serve until a signal, or until a child keeps dying; the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        check_port(self._config, "rpc_port", self._config.rpc_host, self._config.rpc_port)
        if self._config.http_port:
            check_port(self._config, "http_port", self._config.http_host, self._config.http_port)
        gateway = self._config.gateway
        if gateway.port:
            check_port(self._config, "gateway.port", gateway.host, gateway.port)
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
        for program in self._programs.values():
            self._spawn(program)
        self._until(lambda: all(_has_spoken(pipe) for pipe in self._ready.values()))
        addresses = [f"gRPC {config.rpc_host}:{config.rpc_port}"]
        if config.http_port:
            self._until(lambda: _answers(config))
            host = f"{config.http_host}:{config.http_port}"
            addresses.insert(0, f"HTTP http://{host}/{config.name}/prediction")
        if config.gateway.port:
            addresses.append(f"REST http://{config.gateway.host}:{config.gateway.port}")
        print(f"ready: {', '.join(addresses)}", flush=True)

    def _spawn(self, program: Program) -> None:
        environment = {**os.environ, "FACE_SERVICE_PARENT": str(os.getpid())}
        for name, value in _library_settings(self._config).items():
            environment.setdefault(name, value)
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        reading, writing = os.pipe()
        environment["FACE_SERVICE_READY"] = str(writing)
        self._children[program.title] = subprocess.Popen(
            [sys.executable, "-m", program.module, *program.arguments],
            stdin=subprocess.DEVNULL,
            env=environment,
            pass_fds=(writing,),
            # A Ctrl-C in the terminal must reach only this process, which ends the others
            # after the requests under way.
            start_new_session=True,
        )
        os.close(writing)
        before = self._ready.get(program.title)
        if before is not None:
            os.close(before)
        self._ready[program.title] = reading

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
            for title, child in list(self._children.items()):
                status = child.poll()
                if status is not None:
                    self._revive(title, status)
        return 0

    def _revive(self, title: str, status: int) -> None:
        """Start a child again. Raises StartError where that has not helped."""
        now = time.monotonic()
        deaths = self._deaths.setdefault(title, deque(maxlen=_DEATHS))
        deaths.append(now)
        ended = f"the {title} ended with status {status}"
        if status == 2:
            raise StartError(f"{ended} while serving; the service is stopped", status)
        if len(deaths) == _DEATHS and now - deaths[0] < _DEATHS_S:
            raise StartError(f"{ended}, again and again; the service is stopped", status)
        print(f"web_service: {ended}; it is started again", file=sys.stderr, flush=True)
        self._spawn(self._programs[title])

    def _end(self) -> None:
        """The gateway first, whose requests need the pipelines; each finishes those under way."""
        gateway = [child for title, child in self._children.items() if title == _GATEWAY]
        for children in (gateway, self._children.values()):
            for child in children:
                child.terminate()
            give_up = time.monotonic() + self._config.limits.request_timeout_ms / 1000.0 + 5.0
            for child in children:
                try:
                    child.wait(max(give_up - time.monotonic(), 0.0))
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def programs(config: Config) -> list[Program]:
    """The children of a service: a pipeline a replica, and the gateway."""
    found = []
    for replica in range(config.replicas):
        title = f"pipeline {replica}" if config.replicas > 1 else "pipeline"
        found.append(Program(title, "ops.server", (str(config.path), str(replica))))
    if config.gateway.port:
        found.append(Program(_GATEWAY, "gateway.server", (str(config.path),)))
    return found


def _library_settings(config: Config) -> dict[str, str]:
    """What libraries read from the environment of a pipeline, unless it is set already."""
    threads = max(op.threads for op in config.op.values())
    return {
        # glibc gives threads heaps of their own, which together hold on to much freed memory.
        "MALLOC_ARENA_MAX": "2",
        # OpenMP's threads are one a core by default and spin while they wait for work: a
        # service with one client used twice the processor time that it does without them.
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
        # gRPC complains about its own poller when a process ends while it starts.
        "GRPC_VERBOSITY": "NONE",
    }


def _has_spoken(pipe: int) -> bool:
    """Whether a child has said that it serves, or has ended."""
    return bool(select.select([pipe], [], [], 0)[0])


def check_port(config: Config, key: str, host: str, port: int) -> None:
    """Raise ConfigError if something listens on the port already, or it may not be used.

    Replicas share their port with whoever asks for that, so a second service has to look first.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"{config.path}: {key}: cannot listen on {host}:{port}: {error.strerror}"
            ) from None


def _answers(config: Config) -> bool:
    """Whether a picture sent over HTTP is answered."""
    host = "127.0.0.1" if config.http_host == "0.0.0.0" else config.http_host  # noqa: S104
    connection = http.client.HTTPConnection(host, config.http_port, timeout=30.0)
    try:
        body = json.dumps({"key": ["image"], "value": [PIXEL]})
        connection.request("POST", f"/{config.name}/prediction", body)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        return answer.status == 200 and content.get("err_no", 0) == 0
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()
