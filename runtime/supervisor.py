"""One parent for all processes of the service: started together, ended together."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from runtime.child import START_TIMEOUT_S, Child
from runtime.heartbeat import NOTICE, Notice
from runtime.listening import (
    LISTENING,
    bind,
    check_places,
    gateway_place,
    http_place,
    listen,
)
from runtime.notify import Notifier
from runtime.probe import PIXEL
from runtime.process import child_environment
from runtime.programs import GATEWAY, programs
from runtime.renewal import Crew, Steps, check_renewal, renew
from runtime.service_state import own_state, remove_state, state_file, write_state
from runtime.unavailable_server import UnavailableServer
from settings.config import Config, ConfigError, load_config

_POLL_S = 0.1
# To end everything takes as long as a request may take, and so much more at most.
END_S = 5.0


class StartError(RuntimeError):
    """The service could not be started; the text says why.

    status: of the child that ended, 2 where it has said itself what is wrong with the
    configuration.
    """

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class Supervisor:
    """Runs the pipeline's replicas and the REST gateway as child processes.

    One that dies or falls silent while serving is started again, at longer and longer intervals
    when it keeps dying, and the others go on meanwhile. Children die with this process even when
    it is killed with SIGKILL. SIGHUP has it take over changed settings, see `runtime.renewal`.
    systemd is told how it is, where that has asked for it.
    """

    def __init__(self, config: Config, reread: Callable[[], Config] | None = None) -> None:
        """reread: the settings as they are now; raises ConfigError. `config`'s file by itself."""
        self._config = config
        self._reread = reread or (lambda: load_config(config.path))
        self._children = [Child(program) for program in programs(config)]
        self._crew = Crew(self._children, self._spawn, _longest_s(config) + END_S)
        self._notice = Notice()
        self._notifier = Notifier()
        self._state = own_state()
        self._listening: socket.socket | None = None
        # Of the pipelines' HTTP, by their titles.
        self._sockets: dict[str, socket.socket] = {}
        self._unavailable: UnavailableServer | None = None
        self._reasons: dict[str, str] = {}
        self._stop = threading.Event()
        self._renewal: Steps | None = None
        self._renewed = config
        self._is_asked_to_renew = False
        self._signals = 0

    def run(self) -> int:
        """Serve until a signal; the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, self._on_hangup)
        check_places(self._config)
        if self._config.gateway.port:
            # Held here, so that it outlives every gateway.
            self._listening = listen(self._config, gateway_place(self._config), shared=False)
        try:
            self._start()
            self._watch()
            return 0
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
            for child in self._crew.everybody:
                child.kill()

    def _on_hangup(self, *_: object) -> None:
        self._is_asked_to_renew = True

    def _start(self) -> None:
        config = self._config
        self._notifier.status("The service is being started.")
        for child in self._children:
            self._spawn(child)
        self._until(lambda: all(child.ready for child in self._children))
        addresses = [f"gRPC {config.rpc_host}:{config.rpc_port}"] if config.replicas else []
        if config.replicas and config.http_port:
            self._until(lambda: _answers(config))
            host = f"{config.http_host}:{config.http_port}"
            addresses.insert(0, f"HTTP http://{host}/{config.name}/prediction")
        if self._listening is not None:
            addresses.append(f"REST http://{config.gateway.host}:{config.gateway.port}")
            self._unavailable = UnavailableServer(self._listening, self._why)
        print(f"ready: {', '.join(addresses)}", flush=True)
        self._tell_state()
        self._notifier.ready()
        self._notifier.status(f"Ready: {', '.join(addresses)}")

    def _spawn(self, child: Child) -> None:
        environment = child_environment()
        for name, value in _library_settings(self._config).items():
            environment.setdefault(name, value)
        environment[NOTICE] = str(self._notice.file)
        files = [self._notice.file]
        listening = self._listening if child.title == GATEWAY else self._http_socket(child)
        if listening is not None:
            environment[LISTENING] = str(listening.fileno())
            files.append(listening.fileno())
        child.start(environment, tuple(files))

    def _http_socket(self, child: Child) -> socket.socket | None:
        """A pipeline's, which lives until it dies unasked."""
        if not self._config.http_port:
            return None
        if child.title not in self._sockets:
            try:
                place = http_place(self._config)
                self._sockets[child.title] = bind(self._config, place, self._config.replicas > 1)
            except ConfigError:
                return None  # the child meets the same, and says so
        return self._sockets[child.title]

    def _until(self, ready: Callable[[], bool]) -> None:
        """Wait for it while starting. Raises StartError."""
        give_up = time.monotonic() + START_TIMEOUT_S
        while True:
            for child in self._children:
                child.listen()
                status = child.ended()
                if status is not None:
                    text = f"the {child.title} ended with status {status} before it was ready"
                    raise StartError(text, status)
            if ready():
                return
            if self._stop.wait(_POLL_S):
                raise StartError("stopped while starting")
            if time.monotonic() > give_up:
                raise StartError(f"the service was not ready within {START_TIMEOUT_S:.0f} s")

    def _watch(self) -> None:
        while not self._stop.wait(_POLL_S):
            for child in self._children:
                self._look_after(child)
            self._go_on_renewing()
            if all(child.is_well for child in self._children):
                self._notifier.ping()

    def _go_on_renewing(self) -> None:
        """Take the next step of a renewal, or begin one that was asked for."""
        if self._renewal is None:
            if self._is_asked_to_renew:
                self._is_asked_to_renew = False
                self._begin_renewal()
            return
        try:
            self._notifier.status(f"Taking over the settings: {next(self._renewal)}.")
        except StopIteration as end:
            self._renewal = None
            if not end.value:
                self._config = self._renewed
            self._end_renewal(end.value)

    def _begin_renewal(self) -> None:
        self._state = replace(
            self._state, renewals=self._state.renewals + 1, renewing=True, problem=""
        )
        self._tell_state()
        self._notifier.reloading()
        try:
            self._renewed = self._reread()
            check_renewal(self._config, self._renewed)
            for stage in self._renewed.op if self._renewed.replicas else ():
                self._renewed.chosen_models(stage)
        except ConfigError as error:
            self._end_renewal(str(error))
            return
        print("web_service: taking over the settings", flush=True)
        self._renewal = renew(self._crew, self._config, self._renewed)

    def _end_renewal(self, problem: str) -> None:
        self._state = replace(self._state, renewing=False, problem=problem)
        self._tell_state()
        self._notifier.ready()
        self._notifier.status(problem or "Ready, with the settings as they are now.")
        if problem:
            print(f"web_service: settings not taken over: {problem}", file=sys.stderr, flush=True)
        else:
            print("web_service: settings taken over", flush=True)

    def _tell_state(self) -> None:
        write_state(state_file(self._config), self._state)

    def _look_after(self, child: Child) -> None:
        was_ready = child.ready
        child.listen()
        status = child.ended()
        if status is not None:
            self._bury(child, status)
        elif child.next_start is not None:
            if time.monotonic() >= child.next_start:
                self._spawn(child)
        elif child.is_silent and not child.killed:
            print(f"web_service: the {child.title} is silent and is killed", file=sys.stderr)
            child.kill()
        elif child.ready and not was_ready:
            self._reasons.pop(child.title, None)
            self._tell(child)

    def _bury(self, child: Child, status: int) -> None:
        """Say that a child has died, and when it is started again."""
        seconds = child.delay()
        when = f" in {seconds:.0f} s" if seconds else ""
        ended = f"the {child.title} ended with status {status}"
        print(f"web_service: {ended}; it is started again{when}", file=sys.stderr, flush=True)
        self._reasons[child.title] = f"The {child.title} is being started again{when}."
        # What waits in its socket would wait for long, while others could answer.
        if child.title in self._sockets:
            self._sockets.pop(child.title).close()
        self._tell(child)

    def _tell(self, child: Child) -> None:
        """Let the gateway's health say who is away, or answer for the gateway."""
        self._notice.write(" ".join(self._reasons.values()))
        self._notifier.status(" ".join(self._reasons.values()) or "Ready.")
        if child.title == GATEWAY and self._unavailable is not None:
            self._unavailable.stop() if child.ready else self._unavailable.start()
            self._notice.stand_in(not child.ready)

    def _why(self) -> str:
        return " ".join(self._reasons.values()) or "The service is being started."

    def _end(self) -> None:
        """The gateway first, whose requests need the pipelines; each finishes those under way.

        All of it takes no longer than a request may, and a little.
        """
        self._notifier.stopping()
        self._notifier.status("The service ends; requests under way are finished.")
        remove_state(state_file(self._config))
        if self._unavailable is not None:
            self._unavailable.stop()
        if self._listening is not None:
            self._listening.close()
        for listening in self._sockets.values():
            listening.close()
        give_up = time.monotonic() + _longest_s(self._config) + END_S
        gateways = [child for child in self._crew.everybody if child.title == GATEWAY]
        pipelines = [child for child in self._crew.everybody if child.title != GATEWAY]
        # The pipelines' last seconds are theirs.
        for children, spared in ((gateways, END_S / 2), (pipelines, 0.0)):
            for child in children:
                child.end()
            for child in children:
                child.wait(give_up - spared - time.monotonic())


def _longest_s(config: Config) -> float:
    """Seconds that a request may take."""
    return max(config.limits.request_timeout_ms, config.gateway.request_timeout_ms) / 1000.0


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
